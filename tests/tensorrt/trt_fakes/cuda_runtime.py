"""A fake of the CUDA Python bindings' runtime, limited to the names that a released one has.

It shows calls in the wrong order, leaks and misuse; it proves nothing about speed, about memory
of a real device or about a driver. Every function returns a tuple whose first item is the error
code, as the real ones do.
"""

from __future__ import annotations

import enum
import json
import lzma
import re
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from trt_fakes import cuda_calls
from trt_fakes.api import DATA
from trt_fakes.gpu import CudaError, Gpu
from trt_fakes.options import Failures

#: Kind of bindings -> the release of them whose names the fake has.
BINDINGS = {"bindings": "13.5", "cudart": "12.2", "cudart-11": "11.8"}
VERSIONS = {"cuda.bindings.runtime": 13050, "cuda.cudart": 12020}
HANDLES = ("cudaStream_t", "cudaEvent_t", "cudaGraph_t", "cudaGraphExec_t")


@cache
def load(version: str) -> dict[str, Any]:
    packed = (DATA / f"cuda-{version}.json.xz").read_bytes()
    data: dict[str, Any] = json.loads(lzma.decompress(packed))
    return data


def enumerations(line: str) -> set[str]:
    """The parameters that are annotated as an enumeration."""
    inside = line[line.index("(") + 1 : line.rindex(")")]
    return {p.partition(":")[0].strip() for p in inside.split(",") if ":" in p}


def parameters(line: str) -> list[str]:
    """The parameters' names in ``cudaMemcpy(dst, src, size_t count, kind: cudaMemcpyKind)``."""
    inside = line[line.index("(") + 1 : line.rindex(")")]
    return [re.findall(r"\w+", p.partition(":")[0])[-1] for p in inside.split(",") if p.strip()]


class Handle:
    """cudaStream_t and its like: a number with an address of its own."""

    def __init__(self, init_value: int = 0) -> None:
        self._value = int(init_value)

    def __int__(self) -> int:
        return self._value

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"<CU {self._value:#x}>"

    def getPtr(self) -> int:  # noqa: N802  (the real name)
        return id(self)


def address_of(value: Any) -> int:
    """A pointer argument: None, a number, or an object with a buffer."""
    if value is None:
        return 0
    if isinstance(value, (int, Handle, np.integer)):
        return int(value)
    try:
        return int(np.frombuffer(value, np.uint8).ctypes.data)
    except (TypeError, AttributeError):
        raise TypeError(
            f"Provided argument is of type {type(value)} but expected Type None, int or object "
            "with Buffer Protocol"
        ) from None


class CudaModule(types.ModuleType):
    """The module; ``_gpu`` is the device it drives."""

    _gpu: Gpu


def build(kind: str, gpu: Gpu, failures: Failures, present: bool) -> CudaModule:
    """The fake of one kind of bindings. ``present``: whether there is a GPU with its driver."""
    data = load(BINDINGS[kind])
    module = CudaModule(data["module"])
    module._gpu = gpu
    for name, thing in data["names"].items():
        if "enum" in thing:
            setattr(module, name, enum.IntEnum(name, thing["enum"]))
        elif "constant" in thing:
            setattr(module, name, thing["constant"])
        elif name in HANDLES:
            setattr(module, name, type(name, (Handle,), {}))
    for name, thing in data["names"].items():
        if "function" in thing:
            old = kind != "bindings"
            strict = enumerations(thing["function"]) if old else set()
            caller = Caller(name, thing["function"], strict, module, failures)
            setattr(module, name, caller.call if present else caller.without_driver(old))
    return module


class Caller:
    """One function of the module: binds its arguments, plays it, turns errors into codes."""

    def __init__(
        self,
        name: str,
        line: str,
        strict: set[str],
        module: CudaModule,
        failures: Failures,
    ) -> None:
        """``strict``: parameters for which older bindings insist on an enumeration."""
        self.name, self.names, self.strict = name, parameters(line), strict
        self.module, self.texts = module, load("13.5")["errors"]
        planned = failures.cuda.get(name, "")
        self.error, self.since = (planned, 1) if isinstance(planned, str) else planned
        self.calls = 0

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        given = dict(zip(self.names, args, strict=False))
        unknown = set(kwargs) - set(self.names)
        if len(args) > len(self.names) or unknown or set(given) & set(kwargs):
            raise TypeError(f"{self.name}() takes ({', '.join(self.names)}), not {args} {kwargs}")
        given |= kwargs
        for name in self.strict & set(given):
            if not isinstance(given[name], enum.IntEnum):
                raise AttributeError("'int' object has no attribute 'value'")
        missing = [n for n in self.names if n not in given]
        if missing:
            raise TypeError(f"{self.name}() is missing {', '.join(missing)}")
        return [given[n] for n in self.names]

    def call(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        values = self.bind(args, kwargs)
        error_type: Any = self.module.__dict__["cudaError_t"]
        if self.name in ("cudaGetErrorName", "cudaGetErrorString"):
            error = error_type(values[0]).name
            text = error if self.name.endswith("Name") else self.texts.get(error, error)
            return (error_type.cudaSuccess, text.encode())
        if self.name in ("cudaGetLastError", "cudaPeekAtLastError"):
            return (error_type[self.last_error()],)
        play: Callable[..., Any] | None = getattr(cuda_calls, self.name, None)
        if play is None:
            raise NotImplementedError(f"the fake CUDA runtime does not play {self.name}")
        self.calls += 1
        gpu, results = self.module._gpu, cuda_calls.RESULTS.get(self.name, 0)
        try:
            if gpu.sticky:
                raise CudaError(gpu.sticky)
            if self.error and self.calls >= self.since:
                raise CudaError(self.error)
            out = play(gpu, *map(self.plain, values))
        except CudaError as error:
            gpu.last = error.name
            return (error_type[error.name], *([None] * results))
        found = () if results == 0 else out if results > 1 else (out,)
        return (error_type.cudaSuccess, *map(self.wrap, found))

    def last_error(self) -> str:
        """The error of the last call that failed; to get it takes it back, but for one that the
        device does not recover from."""
        gpu = self.module._gpu
        found = gpu.sticky or gpu.last or "cudaSuccess"
        if self.name == "cudaGetLastError":
            gpu.last = ""
        return found

    def plain(self, value: Any) -> Any:
        return address_of(value)

    def wrap(self, value: Any) -> Any:
        """Handles as the module's own types, numbers and properties as they are."""
        if isinstance(value, tuple) and value and value[0] in HANDLES:
            return getattr(self.module, value[0])(value[1])
        return value

    def without_driver(self, old: bool) -> Callable[..., tuple[Any, ...]]:
        """Where there is no driver: new bindings give an error code, old ones raise."""

        def call(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
            self.bind(args, kwargs)
            error_type: Any = self.module.__dict__["cudaError_t"]
            if self.name.startswith("cudaGetError"):
                return self.call(*args, **kwargs)
            if self.name == "cudaRuntimeGetVersion":
                return (error_type.cudaSuccess, VERSIONS[self.module.__name__])
            if old:
                raise RuntimeError("Failed to dlopen libcuda.so.1")
            if self.name == "cudaDriverGetVersion":
                return (error_type.cudaSuccess, 0)
            results = cuda_calls.RESULTS.get(self.name, 0)
            return (error_type.cudaErrorInsufficientDriver, *([None] * results))

        return call
