"""Put a fake release of TensorRT, and fake CUDA bindings, in the place of the real packages."""

from __future__ import annotations

import gc
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trt_fakes import building, cuda_runtime, definition, inspecting, running, small_parts
from trt_fakes.api import Api, load
from trt_fakes.binding import NotPlayedError, Part, make_class, make_enum
from trt_fakes.gpu import Gpu
from trt_fakes.options import DEVICES, Device, Failures
from trt_fakes.world import World

#: Class of the API -> who plays it; a class without a player has its names and no behaviour.
PLAYERS: dict[str, type[Part]] = {
    "Dims": small_parts.Dims,
    "ILogger": small_parts.ILogger,
    "Logger": small_parts.Logger,
    "IProfiler": small_parts.IProfiler,
    "Profiler": small_parts.Profiler,
    "IProgressMonitor": small_parts.IProgressMonitor,
    "ParserError": small_parts.ParserError,
    "ITensor": definition.ITensor,
    "ILayer": definition.ILayer,
    "INetworkDefinition": definition.INetworkDefinition,
    "OnnxParser": definition.OnnxParser,
    "IOptimizationProfile": building.IOptimizationProfile,
    "ITimingCache": building.ITimingCache,
    "IBuilderConfig": building.IBuilderConfig,
    "Builder": building.Builder,
    "Runtime": running.Runtime,
    "ICudaEngine": running.ICudaEngine,
    "IExecutionContext": running.IExecutionContext,
    "EngineInspector": inspecting.EngineInspector,
}


OURS = ("tensorrt", "cuda")
NO_FAILURES = Failures()


@dataclass(slots=True, repr=False)
class Fake:
    """What a test asks after the code under test has run."""

    world: World
    trt: types.ModuleType | None
    cuda: types.ModuleType | None

    @property
    def gpu(self) -> Gpu:
        return self.world.gpu

    @property
    def misuse(self) -> list[str]:
        """What was done wrong with memory, streams and contexts, in words."""
        return self.world.gpu.misuse

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Everything TensorRT logged: (severity, text)."""
        return self.world.messages

    def allocated(self) -> list[str]:
        """Memory, streams, events and graphs that were made and not given back."""
        gc.collect()
        return self.world.gpu.allocated()

    def alive(self) -> list[str]:
        """Classes of TensorRT's objects that somebody still holds."""
        gc.collect()
        return sorted(type(part).__name__ for part in self.world.alive)


def _enter(self: Any) -> Any:
    warnings.warn(
        "Context managers for TensorRT types are deprecated. Memory will be freed automatically "
        "when the reference count reaches 0.",
        DeprecationWarning,
        stacklevel=2,
    )
    return self


def _classes(api: Api, world: World) -> dict[str, Any]:
    """Every class and enumeration of the release."""
    made: dict[str, Any] = {
        name: make_enum(name, members, name in api.ordered) for name, members in api.enums.items()
    }
    severity = dict(api.classes["ILogger"].members["Severity"].enum)
    made["ILogger.Severity"] = made["Logger.Severity"] = make_enum("Severity", severity, True)

    def define(name: str) -> None:
        if name in made:
            return
        described = api.classes[name]
        for base in described.bases:
            define(base)
        bases = tuple(made[b] for b in described.bases)
        part = PLAYERS.get(name, Part)
        if any(issubclass(b, part) for b in bases):
            kept: tuple[type, ...] = bases
        else:
            kept = (*bases, part)
        cls = make_class(name, api, kept, made)
        cls._world = world
        if "__enter__" in described.members:
            cls.__enter__ = _enter
            cls.__exit__ = lambda self, kind, value, trace: None
        made[name] = cls

    for name in api.classes:
        if name != "IHostMemory":
            define(name)
    made["IHostMemory"] = small_parts.host_memory_class(made["DataType"].INT8)
    for name in ("ILogger", "Logger"):
        for level, value in made["ILogger.Severity"].__members__.items():
            setattr(made[name], level, value)
    return made


def _not_played(name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise NotPlayedError(name)

    return call


def _volume(iterable: Any) -> int:
    volume = 1
    for size in iterable:
        volume *= size
    return volume


def _tensorrt(world: World) -> types.ModuleType:
    api = world.api
    module = types.ModuleType("tensorrt")
    world.types = _classes(api, world)
    for name, thing in world.types.items():
        if "." not in name:
            setattr(module, name, thing)
    data_types = world.types["DataType"].__members__
    for name, text in api.constants.items():
        if text.startswith("DataType."):
            setattr(module, name, data_types[text.partition(".")[2]])
    import numpy as np

    numpy_types = {"FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32}
    numpy_types |= {"INT64": np.int64, "BOOL": np.bool_, "UINT8": np.uint8}

    def nptype(trt_type: Any) -> Any:
        if trt_type.name in numpy_types and trt_type.name in data_types:
            return numpy_types[trt_type.name]
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")

    sizes = running.ITEM_BYTES
    world.types["DataType"].itemsize = property(lambda self: sizes.get(self.name))
    played = {
        "volume": _volume,
        "nptype": nptype,
        "init_libnvinfer_plugins": lambda logger, namespace: True,
        "get_nv_onnx_parser_version": lambda: 1,
    }
    for name in api.functions:
        setattr(module, name, played.get(name, _not_played(name)))
    module.__version__ = api.version  # type: ignore[attr-defined]
    return module


@contextmanager
def installed(
    release: str | None = "10.3",
    *,
    gpu: bool = True,
    cuda: str | None = "bindings",
    device: str | Device = "orin",
    failures: Failures = NO_FAILURES,
    expect_misuse: bool = False,
) -> Iterator[Fake]:
    """Within the block ``import tensorrt`` gives the fake of ``release`` (None: not installed).

    ``cuda``: "bindings" (``cuda.bindings.runtime`` 13.5), "cudart" (``cuda.cudart`` 12.2),
    "cudart-11" (11.8), None (not installed). ``gpu=False``: the packages are there, a GPU and its
    driver are not. Raises AssertionError at the end when the code misused the device, unless
    ``expect_misuse``.
    """
    chosen = DEVICES[device] if isinstance(device, str) else device
    world = World(load(release or "10.3"), Gpu(chosen, failures.free_memory), failures, gpu)
    trt = _tensorrt(world) if release is not None else None
    runtime = None if cuda is None else cuda_runtime.build(cuda, world.gpu, failures, gpu)
    fake = Fake(world, trt, runtime)
    before = {n: sys.modules[n] for n in list(sys.modules) if n.partition(".")[0] in OURS}
    for name in before:
        del sys.modules[name]
    sys.modules |= _modules(trt, runtime, cuda)
    try:
        yield fake
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] in OURS]:
            del sys.modules[name]
        sys.modules |= before
    assert expect_misuse or not fake.misuse, f"the device was misused: {fake.misuse}"


def _modules(
    trt: types.ModuleType | None, runtime: types.ModuleType | None, kind: str | None
) -> dict[str, Any]:
    """What ``sys.modules`` holds meanwhile; None there is a package that is not installed."""
    found: dict[str, Any] = {"tensorrt": trt, "cuda": None}
    if runtime is None:
        return found
    top = types.ModuleType("cuda")
    top.__path__ = []
    found["cuda"] = top
    if kind == "bindings":
        bindings = types.ModuleType("cuda.bindings")
        bindings.__path__ = []
        bindings.__version__ = "13.5.0"  # type: ignore[attr-defined]
        top.bindings = bindings  # type: ignore[attr-defined]
        bindings.runtime = runtime  # type: ignore[attr-defined]
        return found | {"cuda.bindings": bindings, "cuda.bindings.runtime": runtime}
    top.cudart = runtime  # type: ignore[attr-defined]
    return found | {"cuda.cudart": runtime}
