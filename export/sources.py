"""What an export starts from: weights and images, the user's or the built-in ones."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import edgereid
from edgereid.calibration.images import CalibrationImages, choose_images
from edgereid.errors import InputError
from edgereid.export.options import ExportOptions
from edgereid.progress import note, progress

#: Built-in calibration people are drawn with seeds of their own: nobody of the built-in test set.
_FIRST_SEED = 1_000_003
_IMAGES_PER_ID = 3  # drawn once in each camera; not everybody passes all four


def weights_file(options: ExportOptions) -> Path:
    """The user's weights, or those that the package ships; raises InputError without either."""
    if options.weights is not None:
        if not options.weights.is_file():
            raise InputError(f"{options.weights} is no file: give weights as .safetensors.")
        return options.weights
    shipped = Path(edgereid.__file__).parent / "weights" / f"{options.network}.safetensors"
    if not shipped.is_file():
        raise InputError(
            f"no weights are shipped for {options.network}: train some "
            f"(`edgereid train {options.network}`) and give them with --weights."
        )
    return shipped


@contextlib.contextmanager
def training_images(
    options: ExportOptions, count: int, spare: int = 0
) -> Iterator[CalibrationImages]:
    """At most ``count`` training images, with up to ``spare`` others behind them: the user's, or
    drawn ones in a temporary folder."""
    if options.calibration is not None:
        chosen = choose_images(
            options.calibration,
            count + spare,
            options.seed,
            allow_test=options.allow_test_images,
            layout=options.layout,
        )
        if len(chosen.paths) < count:
            note(f"{options.calibration} has {len(chosen.paths)} images: all of them are used")
        yield chosen
        return
    from edgereid.data.synth import SynthOptions, synthesise

    seed = _FIRST_SEED + options.seed
    drawing = SynthOptions(
        train_ids=max(2, math.ceil((count + spare) / _IMAGES_PER_ID)),
        test_ids=1,
        images_per_camera=1,
        distractors=0,
        junk=0,
        seed=seed,
    )
    with tempfile.TemporaryDirectory(prefix="edgereid-calibration-") as folder:
        root = Path(folder) / "data"
        # In this process: it takes seconds, and worker processes would import a caller's script.
        synthesise(root, drawing, workers=1, progress=progress)
        chosen = choose_images(root, count + spare, options.seed)
        yield replace(chosen, source=f"drawn by edgereid synth, seed {seed}")
