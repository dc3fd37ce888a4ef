"""The shortest correct way through TensorRT's API, for the tests of the fakes."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHAPES = ((1, 3, 32, 16), (2, 3, 32, 16), (4, 3, 32, 16))


class Recorder:
    """What a logger of the real kind writes down."""

    def __init__(self, trt: Any) -> None:
        self.errors: list[str] = []
        errors = self.errors

        class Log(trt.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                if int(severity) <= int(trt.ILogger.ERROR):
                    errors.append(msg)

        self.sink = Log()


@dataclass
class Build:
    """A builder with everything before ``build_serialized_network``."""

    trt: Any
    log: Recorder
    builder: Any
    network: Any
    parser: Any
    config: Any
    parsed: bool

    def run(self) -> Any:
        return self.builder.build_serialized_network(self.network, self.config)


def prepare(
    trt: Any, model: bytes, flags: tuple[str, ...] = (), profile: bool = True, strong: bool = False
) -> Build:
    log = Recorder(trt)
    builder = trt.Builder(log.sink)
    kinds = trt.NetworkDefinitionCreationFlag.__members__
    wanted = ["EXPLICIT_BATCH"] + ["STRONGLY_TYPED"] * strong
    network = builder.create_network(sum(1 << int(kinds[n]) for n in wanted if n in kinds))
    parser = trt.OnnxParser(network, log.sink)
    parsed = parser.parse(model)
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for name in flags:
        config.set_flag(getattr(trt.BuilderFlag, name))
    if profile:
        shapes = builder.create_optimization_profile()
        shapes.set_shape("images", *SHAPES)
        assert config.add_optimization_profile(shapes) == 0
    return Build(trt, log, builder, network, parser, config, parsed)


def build(trt: Any, model: bytes, **options: Any) -> bytes:
    plan = prepare(trt, model, **options).run()
    assert plan is not None
    return bytes(plan)


class Session:
    """An engine with buffers for one shape."""

    def __init__(self, trt: Any, cuda: Any, plan: bytes, shape: tuple[int, ...]) -> None:
        self.trt, self.cuda = trt, cuda
        self.log = Recorder(trt)
        self.runtime = trt.Runtime(self.log.sink)
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        assert self.engine is not None, self.log.errors
        self.context = self.engine.create_execution_context()
        assert self.context.set_input_shape("images", shape)
        self.stream = self.call("cudaStreamCreateWithFlags", 1)
        self.out_shape = tuple(self.context.get_tensor_shape("features"))
        self.sizes = [4 * int(np.prod(shape)), 4 * int(np.prod(self.out_shape))]
        self.device = [self.call("cudaMalloc", size) for size in self.sizes]
        self.host = [self.call("cudaHostAlloc", size, 0) for size in self.sizes]
        for name, address in zip(("images", "features"), self.device, strict=True):
            assert self.context.set_tensor_address(name, address)

    def call(self, name: str, *arguments: Any) -> Any:
        error, *values = getattr(self.cuda, name)(*arguments)
        assert error == self.cuda.cudaError_t.cudaSuccess, (name, error)
        return values[0] if len(values) == 1 else tuple(values)

    def array(self, index: int) -> NDArray[np.float32]:
        """The pinned memory of input (0) or output (1)."""
        memory = (ctypes.c_float * (self.sizes[index] // 4)).from_address(self.host[index])
        return np.frombuffer(memory, np.float32)

    def copy_in(self, images: NDArray[np.float32]) -> None:
        self.array(0)[:] = images.reshape(-1)
        kind = self.cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        source, to, size = self.host[0], self.device[0], self.sizes[0]
        self.call("cudaMemcpyAsync", to, source, size, kind, self.stream)

    def copy_out(self) -> None:
        kind = self.cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        to, source, size = self.host[1], self.device[1], self.sizes[1]
        self.call("cudaMemcpyAsync", to, source, size, kind, self.stream)

    def wait(self) -> NDArray[np.float32]:
        self.call("cudaStreamSynchronize", self.stream)
        return np.array(self.array(1).reshape(self.out_shape))

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        self.copy_in(images)
        assert self.context.execute_async_v3(int(self.stream)), self.log.errors
        self.copy_out()
        return self.wait()

    def close(self) -> None:
        for address in self.device:
            self.call("cudaFree", address)
        for address in self.host:
            self.call("cudaFreeHost", address)
        self.call("cudaStreamDestroy", self.stream)
        self.context = self.engine = self.runtime = None
