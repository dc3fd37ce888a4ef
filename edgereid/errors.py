"""Errors that a user sees. Each says what was got, what is allowed and what to do, in one line.

The exit code of the process is the error's ``exit_code``; ``docs/commands.md`` lists them.
"""

from __future__ import annotations


class EdgeReidError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 2


class UsageError(EdgeReidError):
    """A wrong name, flag or combination of flags."""

    exit_code = 2


class InputError(EdgeReidError):
    """A file, folder or array that is not what it should be."""

    exit_code = 3


class MissingRuntimeError(EdgeReidError):
    """A package that this command needs is not installed; the message says how to install it."""

    exit_code = 4


class IntegrityError(EdgeReidError):
    """A file whose bytes are not those its manifest vouches for."""

    exit_code = 5


class StorageError(EdgeReidError):
    """A file could not be written (disk full, no permission); nothing half-written was left."""

    exit_code = 6


#: A verdict that the accuracy budget is broken (not an error: the command did its work).
EXIT_BUDGET_BROKEN = 1
#: Interrupted by Ctrl-C.
EXIT_INTERRUPTED = 130
#: Wrong use of a command whose verdict takes the code 2 (``EX_USAGE`` of BSD's sysexits.h).
EX_USAGE = 64
