"""OpenVINO on the processor: ``.xml`` with its ``.bin``, and ``.onnx`` files."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edgereid.cpus import usable_cpus
from edgereid.engines.base import Engine, EngineInfo, EngineOptions, TensorSpec
from edgereid.engines.hints import FLOAT_PRECISION
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError, UsageError

_DEVICE = "CPU"
#: Batch sizes that get a network compiled for them; any further size runs a dynamic network.
MAX_SPECIALISED = 4
#: Our name of a precision -> what the device must list to have the arithmetic for it.
_CAPABILITY = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}
#: Layers with weights, in the names OpenVINO's processor plugin gives them.
_WEIGHTED = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
_EIGHT_BITS = ("i8", "u8")


@cache
def _core() -> Any:
    """The one ``ov.Core`` of this process, kept to its end.

    A core's processor plugin gives the calling thread a signal stack of its own, and puts the
    one it found back when the core goes. Two cores that do not go in reverse order leave the
    thread with memory that is no longer there, and the next Ctrl-C is a segmentation fault.
    """
    return ov.Core()


def _check_file(path: Path) -> None:
    """Refuse what is clearly no network, before OpenVINO tries all its readers on it, aloud."""
    if path.suffix.lower() != ".xml":
        return
    with path.open("rb") as f:
        head = f.read(4096)
    if b"<net" not in head:
        raise InputError(f"{path} is not an OpenVINO network: it has no <net> element.")


def _check_precision(core: Any, precision: str) -> None:
    """Raise UsageError when the processor has no arithmetic in that precision."""
    if _CAPABILITY[precision] not in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"):
        name = core.get_property(_DEVICE, "FULL_DEVICE_NAME")
        raise UsageError(
            f"this processor ({name}) has no {precision} arithmetic for OpenVINO: use f32."
        )


def _stated_precision(model: Any, path: Path) -> str | None:
    """What the file wants its float arithmetic to run in, None: it does not say.

    Raises InputError when it names no precision."""
    where = ["framework", FLOAT_PRECISION]
    if not model.has_rt_info(where):
        return None
    stated = str(model.get_rt_info(where).astype(str))
    if stated not in _CAPABILITY:
        known = ", ".join(_CAPABILITY)
        raise InputError(f"{path} states the float precision {stated[:20]!r}: {known} are known.")
    return stated


def _spec(port: Any) -> TensorSpec:
    partial = port.get_partial_shape()
    rank = partial.rank
    shape = (
        () if rank.is_dynamic else tuple(None if d.is_dynamic else d.get_length() for d in partial)
    )
    name = port.get_any_name() if port.get_names() else ""
    types = {"f32": "float32", "u8": "uint8"}
    return TensorSpec(name, shape, types.get(port.get_element_type().get_type_name(), "?"))


def _in_use(runs: Counter[str]) -> str | None:
    """The precision of an engine whose weighted layers run so, None where there are none."""
    if any(runs[p] for p in _EIGHT_BITS):
        return "int8"
    return runs.most_common(1)[0][0] if runs else None


class OpenVINOEngine(Engine):
    """A network in OpenVINO.

    A network compiled for one batch size is faster than one that takes any (DSLNet, 2 threads:
    1.07 times in f32, 1.2 in bf16, 1.5 in INT8 at batch 1), so the first ``MAX_SPECIALISED`` batch
    sizes of a dynamic file get one each, batch 1 when the file is opened, the others when they are
    first run. Further sizes share one dynamic network, so that memory stays bounded.
    """

    def __init__(self, path: Path, options: EngineOptions) -> None:
        _check_file(path)
        self._core = _core()
        with runtime_errors(f"OpenVINO cannot open {path}"):
            self._model = self._core.read_model(path)
        precision = options.precision or _stated_precision(self._model, path) or "f32"
        _check_precision(self._core, precision)
        self._config = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": options.threads or usable_cpus(),
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        with runtime_errors(f"OpenVINO cannot open {path}"):
            self.inputs = tuple(_spec(port) for port in self._model.inputs)
            self.outputs = tuple(_spec(port) for port in self._model.outputs)
            # Only the batch may vary; a file that leaves more open, or its rank, runs as it is.
            shape = self.inputs[0].shape if len(self.inputs) == 1 else ()
            self._only_batch_open = shape[:1] == (None,) and None not in shape[1:]
            first = self._compile(1) if self._only_batch_open else self._compile(None)
        self._requests: dict[int | None, Any] = {
            1 if self._only_batch_open else None: first.create_infer_request()
        }
        self.info = self._info(first, precision)
        super().__init__()

    def _compile(self, batch: int | None) -> Any:
        """The network for one batch size, None: as the file has it."""
        model = self._model
        if batch is not None:
            model = model.clone()
            model.reshape([batch, *self.inputs[0].shape[1:]])
        return self._core.compile_model(model, _DEVICE, self._config)

    def _info(self, compiled: Any, precision: str) -> EngineInfo:
        runs = Counter(
            info["runtimePrecision"].astype(str)
            for op in compiled.get_runtime_model().get_ops()
            if (info := op.get_rt_info())["layerType"].astype(str) in _WEIGHTED
        )
        return EngineInfo(
            runtime="openvino",
            precision=_in_use(runs) or precision,
            threads=int(compiled.get_property("INFERENCE_NUM_THREADS")),
            version=ov.__version__.split("-")[0],
            details={
                "device": str(self._core.get_property(_DEVICE, "FULL_DEVICE_NAME")).strip(),
                "float_precision": precision,
                "weighted_layers": dict(sorted(runs.items())),
            },
        )

    def _request(self, batch: int) -> Any:
        key: int | None = batch if self._only_batch_open else None
        if key not in self._requests:
            specialised = len(self._requests.keys() - {None})
            key = key if specialised < MAX_SPECIALISED else None
        if key not in self._requests:
            self._requests[key] = self._compile(key).create_infer_request()
        return self._requests[key]

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        request = self._request(len(batch))
        request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
        request.infer()
        # The request's own memory is overwritten by the next run, so the caller gets a copy.
        return np.array(request.get_output_tensor(0).data)

    def _release(self) -> None:
        del self._requests, self._model, self._core
