"""Name and compute capability of the GPU, asked of the driver: TensorRT's own API has neither.

The library is the driver itself, which is there wherever a plan can be built; no package is needed.
Functions and numbers: CUDA driver API, cuda.h (stable since CUDA 5).
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from typing import Any

_LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU: "Orin", "8.7"."""

    name: str
    compute_capability: str

    @property
    def slug(self) -> str:
        """The device as a part of a file's name: "orin-sm87"."""
        name = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:60] or "gpu"
        return f"{name}-sm{self.compute_capability.replace('.', '')}"


def _load() -> Any:
    return ctypes.CDLL(_LIBRARY)


def current_device(library: Any | None = None) -> Device | str:
    """The first GPU that CUDA shows this process, which TensorRT builds for; where the driver does
    not tell, the reason. ``library``: the driver, loaded."""
    try:
        cuda = _load() if library is None else library
        handle, value = ctypes.c_int(), ctypes.c_int()
        name = ctypes.create_string_buffer(_NAME_BYTES)
        _check("cuInit", cuda.cuInit(0))
        _check("cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(handle), 0))
        _check("cuDeviceGetName", cuda.cuDeviceGetName(name, _NAME_BYTES, handle))
        numbers = []
        for attribute in (_MAJOR, _MINOR):
            status = cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle)
            _check("cuDeviceGetAttribute", status)
            numbers.append(value.value)
    except (OSError, AttributeError) as error:
        return " ".join(str(error).split())
    text = name.value.decode("utf-8", "replace").strip()
    return Device(text, f"{numbers[0]}.{numbers[1]}")


def _check(function: str, status: int) -> None:
    if status != 0:
        raise OSError(f"{_LIBRARY}: {function} gave the error {status}")
