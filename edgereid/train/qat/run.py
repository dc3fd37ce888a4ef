"""``edgereid qat`` as one function: options in; weights and a calibration table out."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgereid.calibration.table import TRAINED, CalibrationTable
from edgereid.cpus import usable_cpus
from edgereid.data.layouts import open_dataset
from edgereid.errors import InputError, UsageError
from edgereid.export.graph import Graph
from edgereid.export.int8 import load_graph
from edgereid.export.origin import MODEL_FILE
from edgereid.export.placement import place
from edgereid.export.policy import POLICIES, PlacementPolicy
from edgereid.export.qdq import quantize
from edgereid.export.repair.judge import Judge
from edgereid.export.torch_onnx import export_onnx
from edgereid.files import sha256, write_bytes
from edgereid.images import Preprocessing, load_batch
from edgereid.models.registry import Network
from edgereid.progress import note
from edgereid.train.checkpoint import CHECKPOINT
from edgereid.train.interrupt import Interrupt
from edgereid.train.qat.backend import open_backend
from edgereid.train.qat.distil import Distillation
from edgereid.train.qat.inputs import Images, images_of, network_of, table_of
from edgereid.train.qat.judge import agreement, require_same
from edgereid.train.qat.loop import Distiller, Task
from edgereid.train.qat.network import GraphNetwork, Roundings, roundings
from edgereid.train.qat.options import QatOptions
from edgereid.train.qat.unfold import unfold
from edgereid.train.weights import write_provenance, write_weights

WEIGHTS = "weights.safetensors"
TABLE = "calibration.json"


@dataclass(frozen=True, slots=True)
class _Start:
    """What is trained: the network, its float graph, and the ranges that training begins with."""

    network: Network
    preprocessing: Preprocessing
    weights: Path
    graph: Graph
    table: CalibrationTable
    images: Images


def run_qat(options: QatOptions, policy: PlacementPolicy | None = None) -> dict[str, Any]:
    """Train; write ``weights.safetensors``, ``weights.json`` and ``calibration.json`` into ``out``.

    ``policy`` None: the target's. Returns the content of ``weights.json``. Raises the errors of the
    steps, MissingRuntimeError without the backend's package, InputError for a network that cannot
    be trained so; KeyboardInterrupt after the state was saved.
    """
    policy = policy or POLICIES[options.target]
    threads = options.threads or usable_cpus()
    _check_out(options)
    backend = open_backend(options.backend)
    torch.set_num_threads(threads)
    with Interrupt() as interrupt, tempfile.TemporaryDirectory(prefix="edgereid-qat-") as folder:
        start = _start(options, policy, Path(folder) / MODEL_FILE, threads)
        placement = place(start.graph, policy)
        learned = options.schedule.ranges == "learned"
        rounding = roundings(placement, start.table, policy, backend, learned)
        student = GraphNetwork(start.graph, rounding)
        unfold(start.network, student.weights())  # refused now rather than after the training
        teacher = GraphNetwork(start.graph, Roundings()).requires_grad_(False)
        task = _task(options, policy, start, student, teacher)
        distiller = Distiller(task, interrupt)
        if options.resume:
            distiller.restore()
            note(f"resuming after step {distiller.progress.step}")
        distiller.run()
        return _deliver(options, policy, start, distiller, rounding, threads)


def _check_out(options: QatOptions) -> None:
    out = options.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: choose a directory.")
    if not options.resume and out.exists() and any(out.iterdir()):
        found = "a run" if (out / CHECKPOINT).exists() else "other files"
        raise UsageError(
            f"--out {out} already holds {found}: add --resume to continue a run, or choose another "
            "folder."
        )


def _start(options: QatOptions, policy: PlacementPolicy, path: Path, threads: int) -> _Start:
    network, preprocessing, weights = network_of(options)
    images = images_of(open_dataset(options.data, options.layout), options)
    note(f"{options.network}: writing ONNX")
    export_onnx(network, (preprocessing.height, preprocessing.width), path)
    table = table_of(options, policy, path, images, preprocessing, threads)
    return _Start(network, preprocessing, weights, load_graph(path), table, images)


def _task(
    options: QatOptions,
    policy: PlacementPolicy,
    start: _Start,
    student: GraphNetwork,
    teacher: GraphNetwork,
) -> Task:
    centre = _features(teacher, load_batch(start.images.centre, start.preprocessing)).mean(axis=0)
    identity: dict[str, Any] = {
        "network": options.network,
        "weights": sha256(start.weights),
        "backend": options.backend,
        "policy": {k: v for k, v in asdict(policy).items() if k != "reasons"},
        "schedule": asdict(options.schedule),
        "ranges": _ranges(start.table),
        "data": start.images.identity,
    }
    return Task(
        student,
        teacher,
        Distillation(torch.from_numpy(centre)),
        start.images.training,
        start.preprocessing,
        options.schedule,
        identity,
        options.out,
    )


def _ranges(table: CalibrationTable) -> dict[str, Any]:
    tensors: dict[str, Any] = table.to_json()["tensors"]
    return {name: entry["ranges"] for name, entry in tensors.items()}


def _features(network: torch.nn.Module, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        parts = [network(torch.from_numpy(b)) for b in np.array_split(images, -(-len(images) // 8))]
    out: np.ndarray[Any, Any] = torch.cat(parts).numpy()
    return out


def _deliver(
    options: QatOptions,
    policy: PlacementPolicy,
    start: _Start,
    distiller: Distiller,
    rounding: Roundings,
    threads: int,
) -> dict[str, Any]:
    """Write the files, and judge what the Q/DQ writer makes of them on images not trained on."""
    student, network = distiller.task.student, start.network
    trained = unfold(network, student.weights())
    size = (start.preprocessing.height, start.preprocessing.width)
    crops = load_batch(start.images.held, start.preprocessing)
    with tempfile.TemporaryDirectory(prefix="edgereid-qat-") as folder:
        path, weights = Path(folder) / MODEL_FILE, Path(folder) / WEIGHTS
        write_weights(weights, trained, frozenset(network.state_dict()), options.network, size)
        export_onnx(trained, size, path)
        graph, model_digest = load_graph(path), sha256(path)
        content, digest = weights.read_bytes(), sha256(weights)
    require_same(graph, student.weights())
    provenance = {**start.table.provenance, "model": model_digest, "weights": digest}
    table = trained_table(start.table, rounding, options.backend, provenance)
    judge = Judge(crops, _features(distiller.task.teacher, crops), threads)
    before = judge.error(quantize(start.graph.model, start.table, policy)[0])
    features = judge.features(quantize(graph.model, table, policy)[0])
    few = features[:8]
    same = agreement(_features(student, crops[: len(few)]), few)
    if same < 0.9:
        raise InputError(
            f"the Q/DQ model gives other embeddings than training had (cosine {same:.3f}): this "
            "network cannot be trained with quantisation."
        )
    table.save(options.out / TABLE)
    write_bytes(options.out / WEIGHTS, content)
    facts = {
        **distiller.task.identity,
        "command": options.command,
        "threads": threads,
        "target": options.target,
        "judged_on": len(crops),
        "error_before": round(before, 8),
        "error_after": round(judge.error_of(features), 8),
        "cosine_to_training": round(same, 6),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "curve": distiller.progress.curves,
    }
    del facts["ranges"], facts["weights"]
    return write_provenance(options.out / WEIGHTS, {**facts, "trained_from": sha256(start.weights)})


def trained_table(
    table: CalibrationTable, rounding: Roundings, backend: str, provenance: dict[str, Any]
) -> CalibrationTable:
    """``table`` with the ranges that training ended with, of the grids that it used."""
    entries = {}
    for name, grid in rounding.sources.items():
        ranges = {grid.scheme.name: grid.range()}
        entries[name] = replace(table.entry(name), method=f"{TRAINED}, {backend}", ranges=ranges)
    return CalibrationTable(entries, provenance)
