"""The timing cache: what TensorRT measured of its kernels, kept for the next build.

One file a device and release, since measurements of another are worth nothing. It is only ever a
shortcut: whatever is wrong with it, the build measures anew and says so.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.errors import StorageError
from edgereid.evaluation.cache import default_folder
from edgereid.export.tensorrt.device import Device
from edgereid.export.tensorrt.module import release
from edgereid.files import write_bytes
from edgereid.progress import note

MAX_BYTES = 256 * 2**20  # real ones have some megabytes


def default_path(trt: Any, device: Device) -> Path:
    """ ".../tensorrt/10.3.0-orin-sm87.timing"."""
    version = re.sub(r"[^A-Za-z0-9.]+", "-", release(trt))
    return default_folder().parent / "tensorrt" / f"{version}-{device.slug}.timing"


@dataclass(frozen=True, slots=True)
class TimingCache:
    """The cache of one build; ``path`` None: none is kept. ``state``: loaded, new, or refused."""

    path: Path | None
    state: str

    def keep(self, config: Any) -> None:
        """Write what the builder measured. Where that fails the plan is none the worse: a note."""
        if self.path is None:
            return
        cache = config.get_timing_cache()
        if cache is None:
            note("TensorRT gave no timing cache: the next build measures again.")
            return
        try:
            write_bytes(self.path, bytes(memoryview(cache.serialize())))
        except StorageError as error:
            note(f"the timing cache is not kept: {error}")

    def to_json(self) -> dict[str, str] | None:
        return None if self.path is None else {"file": self.path.name, "state": self.state}


def attach(config: Any, path: Path | None) -> TimingCache:
    """Give the builder's configuration the cache in ``path``, or an empty one."""
    if path is None:
        return TimingCache(None, "new")
    data, state = _read(path), "new"
    if data:
        if _set(config, data):
            return TimingCache(path, "loaded")
        note(
            f"{path} is not used: it is damaged, or of another device or release. "
            "TensorRT measures anew, and the file is replaced."
        )
        state = "refused"
    _set(config, b"")
    return TimingCache(path, state)


def _set(config: Any, data: bytes) -> bool:
    """Whether TensorRT took it; what another device measured is never taken."""
    try:
        cache = config.create_timing_cache(data)
        return cache is not None and bool(config.set_timing_cache(cache, ignore_mismatch=False))
    except (RuntimeError, TypeError, ValueError):  # pybind's, for what cannot be read
        return False


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as f:
            size = os.fstat(f.fileno()).st_size
            data = f.read() if size <= MAX_BYTES else b""
    except FileNotFoundError:
        return b""
    except OSError as error:
        note(f"{path} is not used ({error.strerror or error}): TensorRT measures anew.")
        return b""
    if size > MAX_BYTES:
        note(f"{path} is not used: it has more than {MAX_BYTES // 2**20} MiB.")
        return b""
    return data
