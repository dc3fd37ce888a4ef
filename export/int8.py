"""The INT8 half of an export: calibrate once, then a Q/DQ model and an engine for each target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.bundle import BundleFile, describe_file
from edgereid.calibration.collect import collect
from edgereid.calibration.table import CalibrationTable, decide
from edgereid.calibration.thresholds import Decision
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.export.checks import measure_agreement
from edgereid.export.graph import Graph
from edgereid.export.openvino_ir import write_ir
from edgereid.export.placement import place, schemes_needed
from edgereid.export.policy import POLICIES
from edgereid.export.qdq import quantize
from edgereid.files import write_bytes

CALIBRATION_FILE = "calibration.json"


@dataclass(frozen=True, slots=True)
class Int8Engine:
    """One target's engine: its files, its precision by node, and what the checks found."""

    name: str
    files: tuple[BundleFile, ...]
    precision: Mapping[str, str]
    report: Mapping[str, Any]


def calibrate(
    float_path: Path,
    batches: Iterable[NDArray[np.float32]],
    targets: tuple[str, ...],
    decision: Decision,
    provenance: Mapping[str, Any],
    threads: int,
) -> CalibrationTable:
    """Run the float network over ``batches`` and decide the ranges that ``targets`` need."""
    import onnx

    graph = Graph(onnx.load(str(float_path)))
    policies = tuple(POLICIES[t] for t in targets)
    tensors = {source for p in policies for source in place(graph, p).activations.values()}
    histograms = collect(float_path, batches, tensors, threads=threads)
    nonnegative = {name: h.low >= 0.0 for name, h in histograms.items()}
    schemes = schemes_needed(graph, policies, nonnegative)
    return decide(histograms.values(), schemes, decision, provenance)


def build_engine(
    target: str,
    directory: Path,
    table: CalibrationTable,
    images: NDArray[np.float32],
    reference: NDArray[np.float32],
    threads: int,
) -> Int8Engine:
    """Write the engine of ``target`` into ``directory``, beside ``model.onnx``, and check it.

    ``reference`` (N, D) are the float network's features of ``images``. Raises InputError when the
    engine gives NaN, has collapsed or depends on the batch.
    """
    import onnx

    model, placement = quantize(onnx.load(str(directory / "model.onnx")), table, POLICIES[target])
    path, files = _WRITERS[target](directory, model.SerializeToString(deterministic=True))
    with open_engine(path, EngineOptions(threads=threads)) as engine:
        agreement = measure_agreement(engine.run, images, reference)
        ran_in = engine.info.runtime
    agreement.require(path.name)
    report = {
        **{key: round(value, 6) for key, value in agreement.to_json().items()},
        "int8_share_of_macs": round(placement.int8_share, 6),
        "float_layers": dict(placement.reasons),
        "checked_in": ran_in,
    }
    return Int8Engine(path.name, files, placement.precision, report)


def _write_onnxruntime(directory: Path, model: bytes) -> tuple[Path, tuple[BundleFile, ...]]:
    path = directory / "engine.onnx"
    write_bytes(path, model)
    return path, (describe_file(path, "engine", "onnxruntime", "int8"),)


def _write_openvino(directory: Path, model: bytes) -> tuple[Path, tuple[BundleFile, ...]]:
    source, path = directory / "openvino.onnx", directory / "engine.xml"
    write_bytes(source, model)
    write_ir(source, path)
    source.unlink()
    return path, (
        describe_file(path, "engine", "openvino", "int8"),
        describe_file(path.with_suffix(".bin"), "data"),
    )


def _write_tensorrt(directory: Path, model: bytes) -> tuple[Path, tuple[BundleFile, ...]]:
    """The model that a TensorRT builder takes; ONNX Runtime stands in for it in the checks."""
    path = directory / "tensorrt.onnx"
    write_bytes(path, model)
    return path, (describe_file(path, "data", precision="int8"),)


_Writer = Callable[[Path, bytes], tuple[Path, tuple[BundleFile, ...]]]
_WRITERS: dict[str, _Writer] = {
    "onnxruntime": _write_onnxruntime,
    "openvino": _write_openvino,
    "tensorrt": _write_tensorrt,
}
