"""The repairs as an export calls them: on a directory with ``model.onnx`` in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.bundle import describe_file
from edgereid.calibration.collect import collect
from edgereid.calibration.table import CalibrationTable, decide
from edgereid.calibration.thresholds import Decision
from edgereid.errors import InputError, UsageError
from edgereid.export.graph import Graph
from edgereid.export.int8 import EngineBuilder, Int8Engine
from edgereid.export.options import ExportOptions
from edgereid.export.origin import MODEL_FILE, Origin, Wrapped, Written
from edgereid.export.placement import all_ranges, schemes_needed, tensors_seen
from edgereid.export.policy import POLICIES
from edgereid.export.qdq import quantize
from edgereid.export.repair.equalize import equalize
from edgereid.export.repair.judge import Judge, features_of
from edgereid.export.repair.mended import Mended, mended_file, save_mended
from edgereid.export.repair.options import RepairOptions
from edgereid.export.repair.steps import IMAGES, Repaired, mend
from edgereid.files import write_bytes
from edgereid.images import Preprocessing, load_batch
from edgereid.progress import note

_JUDGED = 32  # crops on which a step is judged


def mending(build: EngineBuilder, options: RepairOptions, paths: Sequence[Path]) -> EngineBuilder:
    """``build``, which before it writes an engine has what the options ask for mended.

    ``paths`` are calibration images, of which the first ``IMAGES`` are used; the table says how
    they are preprocessed. The repairs lie beside ``model.onnx``, where ``build`` finds them, and
    belong to the engine's files; its report has what each step did.
    """
    if not options.mends:
        return build

    def mend_and_build(
        target: str,
        directory: Path,
        table: CalibrationTable,
        crops: NDArray[np.float32],
        reference: NDArray[np.float32],
        threads: int,
    ) -> Int8Engine:
        import onnx

        wanted = options.decided(table.trained)
        if not wanted.mends:
            return build(target, directory, table, crops, reference, threads)
        preprocessing = Preprocessing.from_json(table.provenance["preprocessing"])
        images = load_batch(paths[:IMAGES], preprocessing)
        model = onnx.load(str(directory / MODEL_FILE))
        judge = Judge(crops[:_JUDGED], reference[:_JUDGED], threads)
        repaired = mend(model, table, POLICIES[target], images, wanted, judge)
        note(_told(target, repaired))
        files = []
        if repaired.mended != Mended():
            path = mended_file(directory, target)
            save_mended(repaired.mended, path)
            files.append(describe_file(path, "repairs"))
        made = build(target, directory, table, crops, reference, threads)
        report = {"images": len(images), "error_after": repaired.errors, "undone": repaired.undone}
        return replace(made, files=(*made.files, *files), report={**made.report, "repairs": report})

    return mend_and_build


def _told(target: str, repaired: Repaired) -> str:
    steps = ", ".join(f"{name} {error:.2e}" for name, error in repaired.errors.items())
    undone = ", ".join(f"{name} ({error:.2e})" for name, error in repaired.undone.items())
    told = f"{target}: one minus centred cosine after each repair: {steps}"
    return f"{told}; undone, as it was worse after it: {undone}" if undone else told


def equalizing(
    origin: Origin, options: ExportOptions, targets: Sequence[str], threads: int
) -> Origin:
    """``origin``, which writes its network equalised where the options ask for it. Raises
    UsageError with ranges that are of the network as it was."""
    wanted = options.int8 and options.repairs.equalize
    if wanted and options.table is not None:
        raise UsageError("--equalize changes the network that --table has the ranges of: give one.")
    return _Equalizing(origin, tuple(targets), threads) if wanted else origin


@dataclass(frozen=True, slots=True)
class _Equalizing(Wrapped):
    """Writes ``model.onnx`` as ``origin`` does, then equalises it."""

    targets: tuple[str, ...]
    threads: int

    def write(self, directory: Path, crops: NDArray[np.float32]) -> Written:
        """As ``origin``; the provenance has what equalisation did to each target's embeddings."""
        written = self.origin.write(directory, crops)
        report = equalize_file(directory / MODEL_FILE, crops, self.targets, self.threads)
        return replace(written, provenance={**written.provenance, "equalized": report})


def equalize_file(
    path: Path, crops: NDArray[np.float32], targets: Sequence[str], threads: int
) -> dict[str, Any]:
    """Equalise a float ONNX file in place; what that does to each target's embeddings.

    The channels' ranges are those of ``crops`` (N, 3, H, W); for the report one half of them gives
    thresholds and the other is judged. Raises InputError when no two layers can be equalised.
    """
    import onnx

    model = onnx.load(str(path))
    before = _errors(path, model, crops, targets, threads)
    equalised, pairs = equalize(model, crops, threads)
    if not pairs:
        raise InputError(
            "--equalize found no two convolutions with nothing but ReLU or pooling between them: "
            "leave it out for this network."
        )
    write_bytes(path, equalised.SerializeToString())
    after = _errors(path, equalised, crops, targets, threads)
    for target in targets:
        note(
            f"{target}: one minus centred cosine {before[target]:.2e} before {pairs} pairs of "
            f"layers were equalised, {after[target]:.2e} after"
        )
    errors = {target: {"before": before[target], "after": after[target]} for target in targets}
    return {"pairs": pairs, "images": len(crops), "errors": errors}


def _errors(
    path: Path, model: Any, crops: NDArray[np.float32], targets: Sequence[str], threads: int
) -> dict[str, float]:
    """The error of each target's quantised model, calibrated by mse on half of the crops."""
    half = len(crops) // 2
    graph = Graph(model)
    policies = tuple(POLICIES[t] for t in targets)
    seen = collect(path, [crops[:half]], tensors_seen(graph, policies), threads=threads)
    seen = all_ranges(graph, policies, seen)
    needed = schemes_needed(graph, policies, {n: h.low >= 0 for n, h in seen.items()})
    table = decide(seen.values(), needed, Decision("mse"), {})
    reference = features_of(model, crops[half:], threads)
    judge = Judge(crops[half:], reference, threads)
    return {
        target: round(judge.error(quantize(model, table, policy)[0]), 8)
        for target, policy in zip(targets, policies, strict=True)
    }
