"""Looking into folders and list files that may hold anything: each failure is one line.

Paths inside a list file are relative to a folder of the dataset and may not leave it. What is there
is asked with ``os.path``: pathlib raises where a folder may not be entered.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path, PurePosixPath

from edgereid.errors import InputError

#: The lists of MSMT17 have 5 MB; a million images named in full, some 100 MB.
MAX_LIST_BYTES = 256 * 2**20
_EXCERPT = 60


def check_folder(root: Path, holds: str) -> None:
    """Raise InputError unless ``root`` is a folder that can be listed; ``holds`` says what for."""
    try:
        if not stat.S_ISDIR(os.stat(root).st_mode):
            raise InputError(f"{root} is a file: name the folder that holds {holds}")
        if not os.access(root, os.R_OK | os.X_OK):
            raise InputError(f"no permission to read {root}: have it given, or copy the folder")
    except FileNotFoundError as error:
        raise InputError(f"{root}: no such folder; name the folder that holds {holds}") from error
    except (OSError, ValueError) as error:  # a loop of links, no permission, a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot read {root}: {reason}; name the folder that holds {holds}"
        ) from error


def entries(folder: Path) -> list[str]:
    """The names in a folder, sorted, hidden ones left out (macOS puts ``._x.jpg`` beside ``x.jpg``
    on foreign disks). Raises InputError when the folder cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot list {folder}: {error.strerror or error}") from error


def read_file(path: Path, limit: int, what: str) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes; ``what`` it should be.

    Looks before it opens (to open a named pipe would wait forever). Raises InputError.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is no regular file: {what} is expected")
        if status.st_size > limit:
            raise InputError(f"{path} is larger than {limit // 2**20} MiB: not {what}")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} not found: unpack the archive again") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def read_list(path: Path) -> list[str]:
    """The lines of a text file, without their ends (LF or CRLF); a byte order mark is passed over.

    Raises InputError when the file is missing, larger than ``MAX_LIST_BYTES``, no regular file or
    not UTF-8 text.
    """
    try:
        text = read_file(path, MAX_LIST_BYTES, "a list of images").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start:,}): save it as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{path} holds NUL bytes: it is no list of images")
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def inside(folder: Path, text: str, where: str) -> Path:
    """``text``, a path as a list names it, below ``folder``; ``where`` begins the message.

    Raises InputError for an absolute path, one with ``..`` and an empty one: a list may only name
    files of its own dataset. So for control characters, which a terminal would obey.
    """
    relative = PurePosixPath(text.replace("\\", "/"))
    if not relative.parts:
        raise InputError(f"{where}: no path; expected one relative to {folder}")
    if any(unicodedata.category(c) == "Cc" for c in text):
        raise InputError(f"{where}: path {excerpt(text)} holds a control character: rename it")
    drive = text[1:2] == ":"
    if relative.is_absolute() or drive or ".." in relative.parts:
        raise InputError(
            f"{where}: path {excerpt(text)} leaves the dataset; expected one relative to {folder}, "
            "without .."
        )
    return folder / relative


def excerpt(text: str) -> str:
    """``text`` in quotes, cut to what fits into a message."""
    return repr(text if len(text) <= _EXCERPT else text[:_EXCERPT] + "...")
