"""The CUDA runtime through NVIDIA's Python bindings: every call checked, memory as NumPy arrays.

The bindings are ``cuda.bindings.runtime``, in releases before 12.8 ``cuda.cudart``; both answer
with a status first and values after it. Only functions that both have are used.
"""

from __future__ import annotations

import ctypes
import importlib
import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import MissingRuntimeError

#: Modules with the runtime API, the present name first.
BINDINGS = ("cuda.bindings.runtime", "cuda.cudart")
INSTALL = 'pip install "edgereid[tensorrt]"; on a Jetson what `edgereid doctor` says'


class CudaError(Exception):
    """A call of the CUDA runtime failed; the engine turns it into an InputError."""


@dataclass(frozen=True, slots=True)
class Device:
    """The GPU in use. ``memory`` in bytes; a Jetson's is shared with the processor."""

    index: int
    name: str
    compute_capability: str
    memory: int


@dataclass(frozen=True, slots=True)
class Pair:
    """The same tensor twice: ``array`` in pinned memory at ``address``, and ``size`` bytes of the
    GPU at ``device``."""

    array: NDArray[Any]
    address: int
    device: int
    size: int


@dataclass(frozen=True, slots=True)
class Cuda:
    """The bindings. ``call`` gives the value of a function, or raises CudaError."""

    api: Any
    module: str

    def call(self, function: str, *arguments: Any) -> Any:
        """Call by name; what comes back besides the status: nothing, a value, or a tuple."""
        status, *values = getattr(self.api, function)(*arguments)
        if status != self.api.cudaError_t.cudaSuccess:
            # It is told here: left behind, TensorRT would take it for a failure of its own.
            self.api.cudaGetLastError()
            raise CudaError(f"{function}: {self.words(status)}")
        return values[0] if len(values) == 1 else tuple(values) or None

    def words(self, status: Any) -> str:
        """An error's name and meaning: "cudaErrorNoDevice, no CUDA-capable device is detected"."""
        _, text = self.api.cudaGetErrorString(status)
        return f"{status.name}, {text.decode(errors='replace')}"

    def upload(self, pair: Pair, stream: Any) -> None:
        """Put the copy of ``pair`` from pinned memory to the GPU into ``stream``."""
        kind = self.api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self.call("cudaMemcpyAsync", pair.device, pair.address, pair.size, kind, stream)

    def download(self, pair: Pair, stream: Any) -> None:
        """Put the copy of ``pair`` from the GPU to pinned memory into ``stream``."""
        kind = self.api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", pair.address, pair.device, pair.size, kind, stream)

    # What is allocated is freed when ``stack`` is closed, the last first.

    def device_memory(self, stack: ExitStack, size: int) -> int:
        """The address of ``size`` bytes on the GPU."""
        address = int(self.call("cudaMalloc", max(size, 1)))
        stack.callback(self.call, "cudaFree", address)
        return address

    def pair(self, stack: ExitStack, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pair:
        """An array in page-locked memory, which the GPU copies without a detour, and its
        counterpart on the GPU."""
        size = math.prod(shape) * dtype.itemsize
        address = int(self.call("cudaHostAlloc", max(size, 1), 0))
        stack.callback(self.call, "cudaFreeHost", address)
        memory: Any = (ctypes.c_uint8 * size).from_address(address)
        array = np.frombuffer(memory, dtype).reshape(shape)
        return Pair(array, address, self.device_memory(stack, size), size)

    def stream(self, stack: ExitStack) -> Any:
        """A stream of its own: the default one would wait for everybody's work."""
        stream = self.call("cudaStreamCreateWithFlags", self.api.cudaStreamNonBlocking)
        stack.callback(self.call, "cudaStreamDestroy", stream)
        return stream

    def event(self, stack: ExitStack) -> Any:
        """An event that takes the time."""
        event = self.call("cudaEventCreate")
        stack.callback(self.call, "cudaEventDestroy", event)
        return event


def load_cuda() -> Cuda:
    """The bindings that are installed; raises MissingRuntimeError."""
    for name in BINDINGS:
        try:
            return Cuda(importlib.import_module(name), name)
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):  # what it needs itself is missing
                raise MissingRuntimeError(f"{name} cannot be imported: {error}.") from error
        except ImportError as error:
            raise MissingRuntimeError(f"{name} cannot be imported: {error}.") from error
    raise MissingRuntimeError(
        f"TensorRT is installed, but not the CUDA Python bindings ({' or '.join(BINDINGS)}): "
        f"{INSTALL}."
    )


def find_device(cuda: Cuda) -> Device:
    """The GPU that this process uses; raises MissingRuntimeError when there is none that works."""
    try:
        count = int(cuda.call("cudaGetDeviceCount"))
        if count < 1:
            raise CudaError("cudaGetDeviceCount: it found none")
        index = int(cuda.call("cudaGetDevice"))
        facts = cuda.call("cudaGetDeviceProperties", index)
    except (CudaError, RuntimeError) as error:  # old bindings raise where there is no driver
        raise MissingRuntimeError(
            f"TensorRT needs an NVIDIA GPU with its driver, and CUDA finds none that works here "
            f"({error}; {_versions(cuda)}): `edgereid doctor` says what this machine lacks."
        ) from error
    name = facts.name.decode(errors="replace") if isinstance(facts.name, bytes) else facts.name
    return Device(
        index=index,
        name=str(name).rstrip("\0"),
        compute_capability=f"{facts.major}.{facts.minor}",
        memory=int(facts.totalGlobalMem),
    )


def _versions(cuda: Cuda) -> str:
    """What driver and bindings are made for; both can be asked for without a GPU."""
    try:
        driver = int(cuda.call("cudaDriverGetVersion"))
        runtime = int(cuda.call("cudaRuntimeGetVersion"))
    except (CudaError, RuntimeError):
        return "the driver does not tell its version"
    if driver == 0:
        return "no driver is loaded"
    text = f"driver for CUDA {_cuda_version(driver)}, bindings for CUDA {_cuda_version(runtime)}"
    if driver // 1000 < runtime // 1000:
        text += f', which that driver is too old for: pip install "cuda-python<{runtime // 1000}"'
    return text


def _cuda_version(number: int) -> str:
    """CUDA writes 12.6 as 12060."""
    return f"{number // 1000}.{number % 1000 // 10}"
