"""Files written whole or not at all, and their digests.

Everything is written beside its final name first and moved there with one rename, so a full disk
or Ctrl-C leaves either the old file or the new one. Readers have a size limit.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from edgereid.errors import EdgeReidError, InputError, StorageError

MAX_JSON_BYTES = 64 * 2**20
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
#: Errors that only writing can cause, wherever they are raised.
_WRITING = _NO_ROOM | {errno.EFBIG, errno.EROFS}


def _storage_error(path: Path, code: int | None, reason: str) -> StorageError:
    if code in _NO_ROOM:
        return StorageError(
            f"cannot write {path}: the disk is full. "
            "Nothing was left behind; free some space and run again."
        )
    hint = " (is the disk full?)" if code == errno.EIO else ""
    return StorageError(f"cannot write {path}: {reason}{hint}. Nothing was left behind.")


def _writing_failure(error: Exception, temporary: Path) -> int | None:
    """The error number when an error raised inside the block came from writing, not from what else
    the block does; None when it did not.

    Writers in C++ (torch, safetensors, OpenVINO) and numpy.save hide the number, so for their
    errors the text is asked, and the disk itself while the half-written file still fills it.
    """
    if isinstance(error, EdgeReidError):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        named = error.filename if isinstance(error.filename, str | bytes) else ""
        ours = Path(os.fsdecode(named)).is_relative_to(temporary)
        return error.errno if ours or error.errno in _WRITING else None
    text = str(error)
    if os.strerror(errno.ENOSPC) in text or shutil.disk_usage(temporary.parent).free == 0:
        return errno.ENOSPC
    return errno.EIO if "iostream error" in text else None  # all that C++ streams say


@contextlib.contextmanager
def _written(path: Path, temporary: Path) -> Iterator[None]:
    """Report failures to write ``temporary`` as StorageError on ``path``; let others pass."""
    try:
        yield
    except Exception as error:
        code = _writing_failure(error, temporary)
        if code is None:
            raise
        raise _storage_error(path, code, os.strerror(code)) from error


@contextlib.contextmanager
def _stored(path: Path) -> Iterator[None]:
    """Report every OSError as StorageError on ``path``."""
    try:
        yield
    except OSError as error:
        raise _storage_error(path, error.errno, error.strerror or str(error)) from error


def _reserve(target: Path, create: Callable[[Path], None]) -> Path:
    """Create a new, hidden name beside ``target``, with the permissions the umask gives."""
    target.parent.mkdir(parents=True, exist_ok=True)
    stem, suffix = target.stem[:100], target.suffix[:20]  # a file name has 255 bytes at most
    while True:
        name = target.with_name(f".{stem}.{secrets.token_hex(4)}{suffix}")
        with contextlib.suppress(FileExistsError):
            create(name)
            return name


def _create_file(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))


def _flush(path: Path) -> None:
    """Have the disk hold what was written, so that the rename cannot come before the contents."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without fsync (some network mounts)
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary file name beside ``path``; move it to ``path`` when the block succeeds.

    The temporary file has the suffix of ``path`` and exists, empty. A symbolic link is followed.
    Raises StorageError when the file cannot be written or ``path`` is no regular file; other errors
    of the block pass unchanged. On any error the temporary file is removed, ``path`` is as it was.
    """
    with _stored(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise StorageError(f"cannot write {path}: it exists and is no regular file.")
        temporary = _reserve(target, _create_file)
    try:
        with _written(path, temporary):
            yield temporary
        with _stored(path):
            _flush(temporary)
            temporary.replace(target)
            _flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(
    path: Path, *, overwrite: bool = False, marker: str | None = None
) -> Iterator[Path]:
    """Give a temporary directory beside ``path``; move it to ``path`` when the block succeeds.

    With ``overwrite`` an existing directory is replaced, without it StorageError is raised. With
    ``marker`` only a directory that is empty or holds a file of that name is replaced, so that a
    mistyped name cannot cost a user other files. On any error the temporary directory is removed
    and ``path`` is as it was; errors of the block are treated as ``atomic_path`` treats them.
    """
    with _stored(path):
        target = Path(os.path.realpath(path))
        if target.exists():
            _check_replaceable(path, target, overwrite, marker)
        temporary = _reserve(target, Path.mkdir)
    try:
        with _written(path, temporary):
            yield temporary
        with _stored(path):
            for file in filter(Path.is_file, temporary.rglob("*")):
                _flush(file)
            _exchange(temporary, target)
            _flush(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_replaceable(path: Path, target: Path, overwrite: bool, marker: str | None) -> None:
    if not overwrite:
        raise StorageError(f"{path} exists already: remove it or choose another name.")
    if not target.is_dir():
        raise StorageError(f"cannot write {path}: it exists and is no directory.")
    if marker is not None and any(target.iterdir()) and not (target / marker).is_file():
        raise StorageError(
            f"{path} exists and holds no {marker}: it is not replaced; choose another name."
        )


def _exchange(temporary: Path, target: Path) -> None:
    """Move ``temporary`` to ``target``; what was there is put back if that fails, else removed."""
    if not target.exists():
        temporary.replace(target)
        return
    old = _reserve(target, Path.mkdir)
    try:
        target.replace(old)  # over the empty directory just made
        temporary.replace(target)
    except BaseException:
        if not target.exists():
            old.replace(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` atomically. Raises StorageError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically. Raises StorageError."""
    write_bytes(path, text.encode())


def dump_json(value: Any) -> str:
    """The one JSON form of the project: sorted keys, two spaces, a final newline, no NaN.

    Text stays readable; only halves of surrogate pairs (file names that are no UTF-8) are escaped.
    """
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()


def read_json(path: Path) -> Any:
    """Parse a JSON file. Raises InputError when it is missing, larger than ``MAX_JSON_BYTES``, or
    not JSON in the strict sense (NaN, infinity and a key that occurs twice are refused)."""
    try:
        with path.open("rb") as f:
            data = f.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    if len(data) > MAX_JSON_BYTES:
        limit = MAX_JSON_BYTES // 2**20
        raise InputError(f"{path} is larger than {limit} MiB: not a file of ours.")
    try:
        return json.loads(
            data.decode("utf-8"),
            parse_float=_finite,
            parse_constant=_finite,
            object_pairs_hook=_unique_keys,
        )
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{path} is not valid JSON: it is nested too deeply.") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises InputError when it cannot be read."""
    try:
        with path.open("rb") as f:
            return _digest(f)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()  # hashlib.file_digest is not in Python 3.10
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()
