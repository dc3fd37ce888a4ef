"""The arithmetic of a fake execution: ONNX Runtime on the bytes behind the device addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_fakes.gpu import ALIGNMENT, CudaError
from trt_fakes.plan import PlanInfo, TensorInfo

NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}


@dataclass(frozen=True, slots=True)
class Launch:
    """One execution with all that it was given when it was enqueued."""

    info: PlanInfo
    model: bytes
    shapes: dict[str, tuple[int, ...]]
    addresses: dict[str, int]
    scratch: tuple[int, int] | None  # address and size of memory that the caller gave


def resolve(
    info: PlanInfo, sizes: dict[str, tuple[int, ...]], tensor: TensorInfo
) -> tuple[int, ...]:
    """A tensor's shape for the inputs' shapes; -1 where it cannot be known yet."""
    if tensor.is_input:
        return sizes.get(tensor.name, tensor.dims)
    known: dict[str, int] = {}
    for given in info.inputs():
        for symbol, size in zip(given.symbols, sizes.get(given.name, ()), strict=False):
            if symbol:
                known[symbol] = size
    first = info.inputs()[0]
    batch = sizes.get(first.name, first.dims)[0]
    found = []
    for axis, (size, symbol) in enumerate(zip(tensor.dims, tensor.symbols, strict=True)):
        found.append(size if size >= 0 else known.get(symbol, batch if axis == 0 else -1))
    return tuple(found)


def run_now(world: Any, launch: Launch) -> None:
    """Read the inputs, compute, write the outputs. Raises CudaError, and notes the misuse, for an
    address that cannot be used."""
    inputs = {
        t.name: _at(world, launch, t).view(NUMPY[t.dtype]).reshape(launch.shapes[t.name]).copy()
        for t in launch.info.tensors
        if t.is_input
    }
    if launch.scratch is not None:
        world.gpu.view(*launch.scratch, "scratch memory")
    session = _session(world, launch.model)
    names = [t.name for t in launch.info.tensors if not t.is_input]
    for tensor, result in zip(
        [t for t in launch.info.tensors if not t.is_input],
        session.run(names, inputs),
        strict=True,
    ):
        if world.failures.nan:
            result = np.full_like(result, np.nan)
        values = np.ascontiguousarray(result, NUMPY[tensor.dtype])
        assert values.shape == launch.shapes[tensor.name], (values.shape, launch.shapes)
        _at(world, launch, tensor)[:] = values.reshape(-1).view(np.uint8)


def _at(world: Any, launch: Launch, tensor: TensorInfo) -> NDArray[np.uint8]:
    """The device bytes of a tensor."""
    address = launch.addresses[tensor.name]
    size = int(np.prod(launch.shapes[tensor.name])) * np.dtype(NUMPY[tensor.dtype]).itemsize
    what = f"tensor {tensor.name}"
    if address % ALIGNMENT:
        world.gpu.wrong(f"{what} is not aligned to {ALIGNMENT} bytes", "cudaErrorMisalignedAddress")
    view = world.gpu.view(address, size, what)
    if view is None:
        world.gpu.misuse.append(f"{what} is in plain host memory")
        world.gpu.sticky = "cudaErrorIllegalAddress"
        raise CudaError("cudaErrorIllegalAddress")
    return view  # type: ignore[no-any-return]


def _session(world: Any, model: bytes) -> Any:
    key = hash(model)
    if key not in world.sessions:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        world.sessions[key] = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
    return world.sessions[key]
