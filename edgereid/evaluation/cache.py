"""Features kept on disk by content: one file an engine, a row an image.

A file holds, little-endian: ``MAGIC``, the length of the header (uint32), the header in JSON
({"count", "size", "engine"}), ``count`` keys of 32 bytes, ``count`` x ``size`` float32, and the
SHA-256 of everything before it. It is written whole or not at all and read whole or not at all; of
two writers the last one wins, and a reader sees the one or the other, never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError, StorageError
from edgereid.files import atomic_path, dump_json
from edgereid.progress import note

Floats = NDArray[np.float32]

MAGIC = b"edgereid features 1\n"
SUFFIX = ".features"
KEY_BYTES = 32
#: Of one file and of the whole folder: the files used longest ago are removed first.
MAX_FOLDER_BYTES = 4 * 2**30
_MAX_HEADER_BYTES = 2**16
_LENGTH = struct.Struct("<I")


def default_folder() -> Path:
    """The user's cache folder, by the XDG base directory specification."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
    return base / "edgereid" / "features"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Features (N, D) by key."""

    rows: dict[bytes, int] = field(default_factory=dict)
    features: Floats = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    def __contains__(self, key: bytes) -> bool:
        return key in self.rows

    def take(self, keys: Sequence[bytes]) -> Floats:
        """The features of ``keys``, all of which it has."""
        return self.features[[self.rows[key] for key in keys]]


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """A folder of tables. ``limit``: bytes of the folder."""

    folder: Path
    limit: int = MAX_FOLDER_BYTES

    def path(self, identity: dict[str, Any]) -> Path:
        """Where the features of the engine that ``identity`` describes are kept."""
        return self.folder / f"{hashlib.sha256(dump_json(identity).encode()).hexdigest()}{SUFFIX}"

    def load(self, identity: dict[str, Any]) -> Table:
        """What is kept for an engine. A damaged file counts as none, with a note."""
        path = self.path(identity)
        try:
            with path.open("rb") as f:
                size = os.fstat(f.fileno()).st_size
                if size > self.limit:
                    raise InputError(f"it has more than {self.limit:,} bytes")
                table = _parse(f.read(size), identity)
            with suppress(OSError):
                os.utime(path)  # used now: removed last
            return table
        except FileNotFoundError:
            return Table()
        except (OSError, InputError) as error:
            reason = getattr(error, "strerror", None) or str(error).rstrip(".")
            note(f"{path} is not used ({reason}): its features are computed again.")
            return Table()

    def store(self, identity: dict[str, Any], keys: Sequence[bytes], features: Floats) -> None:
        """Add ``features`` (N, D) of ``keys`` to what is kept for an engine. Where that cannot be
        written, or has no room, a note says so."""
        path = self.path(identity)
        kept = self.load(identity)  # again: another process may have written meanwhile
        merged = _merged(kept, keys, features)
        if _bytes(*merged.features.shape) > self.limit:
            merged = _merged(Table(), keys, features)
        if _bytes(*merged.features.shape) > self.limit:
            note(f"the features are not cached: they have more than {self.limit:,} bytes.")
            return
        try:
            _write(path, identity, merged)
            self._make_room(path)
        except StorageError as error:
            note(f"the features are not cached: {error}")

    def _make_room(self, newest: Path) -> None:
        """Remove the files used longest ago until the folder is within its limit."""
        found = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):  # removed by another process
                found.append((path == newest, path.stat().st_mtime_ns, path.stat().st_size, path))
        total = sum(size for _, _, size, _ in found)
        for is_newest, _, size, path in sorted(found):
            if total <= self.limit or is_newest:
                return
            with suppress(OSError):  # somebody else's file in a shared folder
                path.unlink(missing_ok=True)
                total -= size


def _bytes(count: int, size: int) -> int:
    """The size of a file with the longest header."""
    return len(MAGIC) + _LENGTH.size + _MAX_HEADER_BYTES + count * (KEY_BYTES + 4 * size) + 32


def _merged(kept: Table, keys: Sequence[bytes], features: Floats) -> Table:
    """Both, each key once."""
    new = {key: row for row, key in enumerate(keys) if key not in kept.rows}
    if not kept.rows or kept.features.shape[1] != features.shape[1]:
        kept = Table(features=features[:0])
        new = {key: row for row, key in enumerate(keys)}
    rows = {key: row for row, key in enumerate([*kept.rows, *new])}
    return Table(rows, np.concatenate([kept.features, features[list(new.values())]]))


def _write(path: Path, identity: dict[str, Any], table: Table) -> None:
    count, size = table.features.shape
    header = dump_json({"count": count, "size": size, "engine": identity}).encode()
    digest = hashlib.sha256()
    with atomic_path(path) as temporary, temporary.open("wb") as f:
        for part in (
            MAGIC,
            _LENGTH.pack(len(header)),
            header,
            b"".join(table.rows),
            np.ascontiguousarray(table.features, dtype="<f4").data,
        ):
            digest.update(part)
            f.write(part)
        f.write(digest.digest())


def _parse(data: bytes, identity: dict[str, Any]) -> Table:
    """Raises InputError, with the reason, on anything but a whole file of this very engine."""
    body, seal = memoryview(data)[:-32], data[-32:]  # no copy: it may have gigabytes
    start = len(MAGIC) + _LENGTH.size
    if not data.startswith(MAGIC) or len(body) < start:
        raise InputError("it is no file of features")
    if hashlib.sha256(body).digest() != seal:
        raise InputError("it is damaged: its SHA-256 does not fit")
    (length,) = _LENGTH.unpack_from(data, len(MAGIC))
    header = _header(bytes(body[start : start + length]))
    if header.get("engine") != identity:
        raise InputError("it belongs to another engine")
    count, size = header.get("count"), header.get("size")
    start += length
    if type(count) is not int or type(size) is not int or count < 0 or size < 1:
        raise InputError("its counts make no sense")
    if len(body) != start + count * (KEY_BYTES + 4 * size):
        raise InputError("its length does not fit its counts")
    keys = bytes(body[start : start + count * KEY_BYTES])
    rows = {keys[i * KEY_BYTES : (i + 1) * KEY_BYTES]: i for i in range(count)}
    features = np.frombuffer(body, dtype="<f4", offset=start + len(keys)).reshape(count, size)
    if not np.isfinite(features).all():
        raise InputError("it holds NaN or infinity")
    return Table(rows, features.astype(np.float32, copy=False))


def _header(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError("its header is no JSON") from error
    return value if isinstance(value, dict) else {}
