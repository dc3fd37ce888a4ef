"""The ranges of an export: calibrated on the images, or taken from a table that was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgereid.calibration.collect import BATCH
from edgereid.calibration.images import CalibrationImages, digest
from edgereid.calibration.table import CalibrationTable
from edgereid.calibration.thresholds import Decision
from edgereid.errors import InputError
from edgereid.export.int8 import calibrate
from edgereid.export.options import ExportOptions
from edgereid.export.policy import POLICIES, PlacementPolicy
from edgereid.files import sha256
from edgereid.images import Preprocessing, iter_batches
from edgereid.progress import note, progress


def ranges_of(
    options: ExportOptions,
    model: Path,
    images: CalibrationImages,
    preprocessing: Preprocessing,
    targets: Sequence[str],
    threads: int,
) -> CalibrationTable:
    """The table of the float ``model``. Raises InputError when the one given is of another."""
    if options.table is not None:
        table = _given(options.table, options.weights, model)
        images_as = {"preprocessing": preprocessing.to_json()}
        return replace(table, provenance={**table.provenance, **images_as})
    paths = images.paths[: options.images]
    policies = tuple(POLICIES[target] for target in targets)
    decision = Decision(options.method, options.percentile)
    return calibrated(model, paths, images.source, preprocessing, policies, decision, threads)


def calibrated(
    model: Path,
    paths: Sequence[Path],
    source: str,
    preprocessing: Preprocessing,
    policies: tuple[PlacementPolicy, ...],
    decision: Decision,
    threads: int,
) -> CalibrationTable:
    """The table of the float ``model`` from image files; ``source``: in words, whose they are."""
    note(f"calibrating on {len(paths)} images ({source}), thresholds by {decision.method}")
    batches = progress(
        iter_batches(paths, preprocessing, BATCH, threads),
        label="calibrating",
        total=-(-len(paths) // BATCH),
    )
    provenance: dict[str, Any] = {
        "images": digest(paths),
        "number": len(paths),
        "source": source,
        "preprocessing": preprocessing.to_json(),
        "model": sha256(model),
    }
    return calibrate(model, batches, policies, decision, provenance, threads)


def _given(path: Path, weights: Path | None, model: Path) -> CalibrationTable:
    """A table belongs to the ONNX file that it names, or to weights, however they are exported."""
    table = CalibrationTable.load(path)
    note(f"ranges from {path}")
    names = table.provenance
    own = {"model": sha256(model), "weights": None if weights is None else sha256(weights)}
    if not any(digest is not None and names.get(key) == digest for key, digest in own.items()):
        raise InputError(
            f"--table {path} was made for another network or other weights than this export's: "
            "leave it out to calibrate here."
        )
    return table
