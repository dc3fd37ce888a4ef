"""What is the same for all vendors' runtimes: their errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from edgereid.errors import EdgeReidError, InputError

#: Lines and prefixes that say where in its own sources a runtime failed, not why.
_NOISE = re.compile(
    r"^Exception from .*|^Check '.*' failed at .*|^\[ONNXRuntimeError\] : \d+ : \w+ : |"
    r"^FrontEnd API failed with .*|^\S*\.(cc|cpp|h):\d+ (\S+::)*\S+ ",
)


def one_line(error: BaseException, limit: int = 240) -> str:
    """The reason in a runtime's message, without the runtime's own source positions."""
    lines = [_NOISE.sub("", line.strip()).strip() for line in str(error).splitlines()]
    text = "; ".join(line for line in lines if line) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


@contextmanager
def runtime_errors(what: str) -> Iterator[None]:
    """Report whatever a runtime raises as an InputError that starts with ``what``, in one line.

    Runtimes raise classes of their own, some straight from Exception, so all are caught.
    """
    try:
        yield
    except EdgeReidError:
        raise
    except Exception as error:
        raise InputError(f"{what}: {one_line(error).rstrip('.!')}.") from error
