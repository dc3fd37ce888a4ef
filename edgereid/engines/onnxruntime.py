"""ONNX Runtime on the processor: ``.onnx`` files, float or Q/DQ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgereid.cpus import usable_cpus
from edgereid.engines.base import Engine, EngineInfo, EngineOptions, TensorSpec
from edgereid.engines.onnx_file import read_onnx
from edgereid.engines.vendor import runtime_errors

PROVIDERS = ["CPUExecutionProvider"]
_FATAL = 4  # log nothing below: every error arrives as an exception


def session_options(threads: int) -> Any:
    """The settings that every measurement is made with."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    # Threads spin between the operators of a run, as by default, but not after it: otherwise they
    # take the processor from whatever runs next, another engine that is compared with this one.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _spec(value: Any) -> TensorSpec:
    """ONNX Runtime names a dynamic dimension by text or None, and says "tensor(float)"."""
    shape = tuple(s if isinstance(s, int) else None for s in value.shape)
    dtype = value.type.removeprefix("tensor(").removesuffix(")")
    return TensorSpec(value.name, shape, {"float": "float32"}.get(dtype, dtype))


class OnnxRuntimeEngine(Engine):
    """An ONNX file in ONNX Runtime.

    ``info.precision`` is "int8" when the file quantises activations, else "f32": ONNX Runtime does
    not tell which quantised operators it really runs in 8 bits.
    """

    def __init__(self, path: Path, options: EngineOptions) -> None:
        file = read_onnx(path)
        threads = options.threads or usable_cpus()
        with runtime_errors(f"ONNX Runtime cannot open {path}"):
            self._session = ort.InferenceSession(
                str(path), session_options(threads), providers=PROVIDERS
            )
        self.inputs = tuple(_spec(i) for i in self._session.get_inputs())
        self.outputs = tuple(_spec(o) for o in self._session.get_outputs())
        self.info = EngineInfo(
            runtime="onnxruntime",
            precision="int8" if file.is_int8 else "f32",
            threads=threads,
            version=ort.__version__,
            details={"providers": self._session.get_providers()},
        )
        super().__init__()

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = self._session.run(None, {self.inputs[0].name: batch})[0]
        return out

    def _release(self) -> None:
        del self._session
