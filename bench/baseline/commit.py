"""The commit that a result belongs to."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgereid.errors import UsageError

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Commit:
    """``dirty``: files differed from the commit when the result was saved; None: not known."""

    name: str
    dirty: bool | None


def named(text: str) -> Commit:
    """A commit that the user names. Raises UsageError on what cannot be part of a file's name."""
    if not _NAME.fullmatch(text):
        raise UsageError(f"--commit {text!r}: letters, digits and ._- are allowed, 64 at most.")
    return Commit(text, None)


def current(folder: Path) -> Commit:
    """The commit that is checked out in ``folder``. Raises UsageError when git knows none."""
    head = _git(folder, "rev-parse", "--verify", "HEAD")
    if head is None:
        raise UsageError(
            f"git knows no commit in {folder.resolve()}: run in a checkout, or give --commit NAME."
        )
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Commit(head, None if changed is None else bool(changed))


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where there is no git or it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
