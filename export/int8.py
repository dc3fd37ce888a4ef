"""The INT8 half of an export: calibrate once, then a Q/DQ model and an engine for each target."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.bundle import BundleFile, describe_file
from edgereid.calibration import auto
from edgereid.calibration.collect import collect
from edgereid.calibration.sample import Sample
from edgereid.calibration.spikes import spikes, spikes_line
from edgereid.calibration.table import CalibrationTable, decide
from edgereid.calibration.thresholds import AUTO, BEST, Decision
from edgereid.engines.base import EngineOptions
from edgereid.engines.hints import FLOAT_PRECISION
from edgereid.engines.open import open_engine
from edgereid.export.best import decide_by_embedding
from edgereid.export.checks import measure_agreement
from edgereid.export.graph import Graph
from edgereid.export.openvino_ir import write_ir
from edgereid.export.options import RUNTIME_OF
from edgereid.export.origin import MODEL_FILE
from edgereid.export.placement import all_ranges, schemes_needed, tensors_seen
from edgereid.export.policy import POLICIES, PlacementPolicy
from edgereid.export.qgemm import with_integer_gemms
from edgereid.export.repair.mended import quantize_stored
from edgereid.files import write_bytes
from edgereid.progress import note

CALIBRATION_FILE = "calibration.json"
Written = tuple[Path, tuple[BundleFile, ...]]


@dataclass(frozen=True, slots=True)
class Int8Engine:
    """One target's engine: its files, its precision by node, and what the checks found."""

    name: str
    files: tuple[BundleFile, ...]
    precision: Mapping[str, str]
    report: Mapping[str, Any]


#: What ``export_bundle`` has an engine built by: target, directory with ``model.onnx``, table,
#: crops and the float network's features of them, threads.
EngineBuilder = Callable[
    [str, Path, CalibrationTable, NDArray[np.float32], NDArray[np.float32], int], Int8Engine
]


def load_graph(path: Path) -> Graph:
    """The graph of an ONNX file that this program wrote or checked."""
    import onnx

    return Graph(onnx.load(str(path)))


def calibrate(
    float_path: Path,
    batches: Iterable[NDArray[np.float32]],
    policies: tuple[PlacementPolicy, ...],
    decision: Decision,
    provenance: Mapping[str, Any],
    threads: int,
) -> CalibrationTable:
    """Run the float network over ``batches`` (N, 3, H, W) and decide the ranges that ``policies``
    need.

    Tensors at which few images reach far beyond the others are told, and kept in the table's
    provenance under "spikes".
    """
    graph = load_graph(float_path)
    tensors = tensors_seen(graph, policies)
    sample = Sample(auto.IMAGES if decision.method in (AUTO, BEST) else 0)
    seen = collect(float_path, sample.passing(batches), tensors, threads=threads)
    histograms = all_ranges(graph, policies, seen)
    nonnegative = {name: h.low >= 0.0 for name, h in histograms.items()}
    schemes = schemes_needed(graph, policies, nonnegative)
    found = histograms.values()
    if large := spikes(found):
        note(spikes_line(large))
        provenance = {**provenance, "spikes": large}
    if decision.method == AUTO:
        images = sample.images()
        return auto.decide_by_output(float_path, found, schemes, images, provenance, threads)
    if decision.method == BEST:
        images = sample.images()
        return decide_by_embedding(graph, policies, found, schemes, images, provenance, threads)
    return decide(found, schemes, decision, provenance)


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
    engine = write_int8(target, directory, table)
    checks = check_engine(directory / engine.name, images, reference, threads)
    return replace(engine, report={**checks, **engine.report})


def write_int8(
    target: str,
    directory: Path,
    table: CalibrationTable,
    keep: Collection[str] = (),
    arithmetic: str = "f32",
) -> Int8Engine:
    """Write the engine of ``target`` beside ``model.onnx``, unchecked. The nodes in ``keep`` stay
    float; ``arithmetic``: what float layers run in."""
    model = load_graph(directory / MODEL_FILE).model
    model, placement = quantize_stored(directory, target, model, table, POLICIES[target], keep)
    path, files = write_quantized(target, directory, model, arithmetic)
    report = {
        "int8_share_of_macs": round(placement.int8_share, 6),
        "float_layers": dict(placement.reasons),
    }
    precision = {n: arithmetic if p == "f32" else p for n, p in placement.precision.items()}
    return Int8Engine(path.name, files, precision, report)


def write_float(target: str, directory: Path, arithmetic: str) -> Int8Engine:
    """The float network of ``directory`` as ``target`` takes it, unchecked: ``model.onnx`` itself,
    and no further file, where that is enough."""
    path = directory / MODEL_FILE
    graph = load_graph(path)
    precision = {node.name: arithmetic for node in graph.nodes}
    files: tuple[BundleFile, ...] = ()
    if RUNTIME_OF[target] != "onnxruntime" or arithmetic != "f32":
        write = _WRITERS[RUNTIME_OF[target]]
        path, files = write(directory, _stating(graph.model, arithmetic), arithmetic)
    return Int8Engine(path.name, files, precision, {"int8_share_of_macs": 0.0})


def check_engine(
    path: Path, images: NDArray[np.float32], reference: NDArray[np.float32], threads: int
) -> dict[str, Any]:
    """Agreement with the float network, as the manifest has it; raises InputError on a collapse."""
    with open_engine(path, EngineOptions(threads=threads)) as engine:
        agreement = measure_agreement(engine.run, images, reference)
        ran_in = engine.info.runtime
    agreement.require(path.name)
    return {
        **{key: round(value, 6) for key, value in agreement.to_json().items()},
        "checked_in": ran_in,
    }


def write_quantized(target: str, directory: Path, model: Any, arithmetic: str = "f32") -> Written:
    """Write a Q/DQ onnx.ModelProto as ``target`` takes it; its float layers run in ``arithmetic``
    unless who opens it says otherwise."""
    if RUNTIME_OF[target] == "onnxruntime":
        model = with_integer_gemms(model)
    return _WRITERS[RUNTIME_OF[target]](directory, _stating(model, arithmetic), "int8")


def _stating(model: Any, arithmetic: str) -> bytes:
    """The model's bytes; it says what its float layers run in when that is not f32."""
    if arithmetic != "f32":
        model.metadata_props.add(key=FLOAT_PRECISION, value=arithmetic)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _write_onnxruntime(directory: Path, model: bytes, precision: str) -> Written:
    path = directory / "engine.onnx"
    write_bytes(path, model)
    return path, (describe_file(path, "engine", "onnxruntime", precision),)


def _write_openvino(directory: Path, model: bytes, precision: str) -> Written:
    source, path = directory / "openvino.onnx", directory / "engine.xml"
    write_bytes(source, model)
    write_ir(source, path)
    source.unlink()
    return path, (
        describe_file(path, "engine", "openvino", precision),
        describe_file(path.with_suffix(".bin"), "data"),
    )


def _write_tensorrt(directory: Path, model: bytes, precision: str) -> Written:
    """The model that a TensorRT builder takes; ONNX Runtime stands in for it in the checks."""
    path = directory / "tensorrt.onnx"
    write_bytes(path, model)
    return path, (describe_file(path, "data", precision=precision),)


_Writer = Callable[[Path, bytes, str], Written]
_WRITERS: dict[str, _Writer] = {  # by runtime
    "onnxruntime": _write_onnxruntime,
    "openvino": _write_openvino,
    "tensorrt": _write_tensorrt,
}
