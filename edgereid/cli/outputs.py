"""Where a command writes: what it checks beforehand."""

from __future__ import annotations

import os
from pathlib import Path

from edgereid.errors import StorageError, UsageError


def check_output(path: Path) -> None:
    """Fail before minutes of work, not after: raises UsageError when ``path`` is a folder,
    StorageError when it cannot be written."""
    real = Path(os.path.realpath(path))  # a loop of links stays as it is
    if os.path.isdir(real):
        raise UsageError(f"{path} is a folder: name a file to write.")
    home = next(parent for parent in real.parents if os.path.lexists(parent))
    if not os.path.isdir(home):
        raise UsageError(f"cannot write {path}: {home} is no folder; choose another name.")
    if not os.access(home, os.W_OK):
        raise StorageError(f"cannot write {path}: no permission in {home}; choose another name.")


def cache_folder(chosen: Path | None, none: bool) -> Path | None:
    """Where features are kept, of ``--cache DIR`` and ``--no-cache``; raises UsageError on both."""
    from edgereid.evaluation.cache import default_folder

    if none and chosen is not None:
        raise UsageError("--cache and --no-cache contradict each other: give one.")
    return None if none else chosen or default_folder()
