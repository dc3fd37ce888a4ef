"""What a training starts from: weights, images and ranges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgereid.bundle import Bundle
from edgereid.calibration.images import balanced
from edgereid.calibration.table import CalibrationTable
from edgereid.calibration.thresholds import Decision
from edgereid.data.types import ReidDataset
from edgereid.errors import InputError
from edgereid.export.int8 import CALIBRATION_FILE
from edgereid.export.options import ExportOptions
from edgereid.export.policy import PlacementPolicy
from edgereid.export.ranges import calibrated
from edgereid.export.sources import weights_file
from edgereid.export.torch_onnx import load_network
from edgereid.files import sha256
from edgereid.images import Preprocessing
from edgereid.models import registry
from edgereid.models.registry import Network
from edgereid.train.images import TrainingImages
from edgereid.train.qat.options import QatOptions

HELD = 64  # images of the training split that are judged on and not trained on
CENTRE = 128  # images whose mean embedding is the centre


@dataclass(frozen=True, slots=True)
class Images:
    """The training split, parted; ``identity`` says, for the record, what it is."""

    training: TrainingImages
    held: tuple[Path, ...]
    centre: tuple[Path, ...]
    calibration: tuple[Path, ...]
    source: str
    identity: dict[str, Any]


def network_of(options: QatOptions) -> tuple[Network, Preprocessing, Path]:
    """The network in evaluation mode, its preprocessing and its weights' file.

    Raises UsageError for an unknown name, InputError without weights or for others'.
    """
    registry.entry(options.network)
    weights = weights_file(
        ExportOptions(network=options.network, out=options.out, weights=options.weights)
    )
    network, preprocessing = load_network(options.network, weights)
    return network, preprocessing, weights


def images_of(dataset: ReidDataset, options: QatOptions) -> Images:
    """A part of the training split is held out, the same for the same seed; raises InputError when
    what remains does not fill a batch."""
    people = sorted((r for r in dataset.train if r.pid > 0), key=lambda r: r.path)
    order = np.random.default_rng(options.schedule.seed).permutation(len(people))
    held = set(order[: min(HELD, len(people) // 4)].tolist())
    kept = [r for i, r in enumerate(people) if i not in held]
    training = TrainingImages(kept)
    if len(kept) < options.schedule.batch:
        raise InputError(
            f"{options.data} leaves {len(kept)} training images: they do not fill a batch of "
            f"{options.schedule.batch}."
        )
    identity = {
        "name": dataset.name,
        "images": len(training),
        "sha256": training.digest(dataset.root),
    }
    return Images(
        training,
        tuple(people[i].path for i in sorted(held)),
        balanced(kept, CENTRE, options.schedule.seed),
        balanced(kept, options.images, options.schedule.seed),
        f"training split of {dataset.name}",
        identity,
    )


def table_of(
    options: QatOptions,
    policy: PlacementPolicy,
    model: Path,
    images: Images,
    preprocessing: Preprocessing,
    threads: int,
) -> CalibrationTable:
    """The ranges to begin with, of the policy's target: those given, or calibrated on the training
    images.

    Raises InputError when those given are of another model.
    """
    if options.calibration is not None:
        return _given(options.calibration, model).of(policy.target)
    decision = Decision(options.method)
    paths, source = images.calibration, images.source
    return calibrated(model, paths, source, preprocessing, (policy,), decision, threads)


def _given(path: Path, model: Path) -> CalibrationTable:
    file = Bundle.open(path).directory / CALIBRATION_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{file} is no file: give a bundle made with --int8 or its calibration.")
    table = CalibrationTable.load(file)
    of = table.provenance.get("model")
    if of != sha256(model):
        raise InputError(
            f"{file} was made for another model than these weights give (an equalised one, for "
            "instance): leave --calibration out to calibrate here."
        )
    return table
