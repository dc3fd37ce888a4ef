"""The same image, the same embedding: whatever the batch size, the order and the neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.gate.agreement import centred_cosines
from edgereid.bench.gate.result import FAIL, PASS, Check
from edgereid.engines.base import Engine
from edgereid.evaluation.subject import Subject, embed

Floats = NDArray[np.float32]

NAME = "batch sizes"
ODD = 3
LEAST_IMAGES = 16
#: The least centred cosine between two runs of one image. Float arithmetic differs in the last
#: bits; what is rounded to eight (INT8, or bf16's mantissa) may take another step here and there.
LEAST = {"f32": 0.999999}
LEAST_ROUNDED = 0.9999


def images_wanted(max_batch: int) -> int:
    """How many images ``batch_check`` is given at best: fewer do, but say less."""
    return max(LEAST_IMAGES, max_batch)


def batch_check(subject: Subject, images: Floats, max_batch: int, precision: str) -> Check:
    """Run ``images`` (N, 3, H, W) at batch 1, 3 and ``max_batch``, and in another order."""
    least = LEAST.get(precision, LEAST_ROUNDED)
    order = np.random.default_rng(0).permutation(len(images))
    whole = _in_batches(subject.engine, images, max_batch)
    runs = {
        "batch 1": _in_batches(subject.engine, images, 1),
        f"batch {ODD}": _in_batches(subject.engine, images, ODD),
        "another order": _in_batches(subject.engine, images[order], max_batch)[np.argsort(order)],
    }
    worst = {name: float(centred_cosines(whole, got).min()) for name, got in runs.items()}
    name = min(worst, key=lambda n: worst[n])
    good = worst[name] >= least
    return Check(
        NAME,
        PASS if good else FAIL,
        f"an image's embedding at batch 1, {ODD} and in another order against batch {max_batch}: "
        f"centred cosine at least {worst[name]:.6f} ({name}); {least:g} is needed for {precision}",
        {"least": least, "images": len(images), **worst},
    )


def _in_batches(engine: Engine, images: Floats, size: int) -> Floats:
    """Features of ``images``, ``size`` at a time; the last batch may be smaller."""
    parts: Sequence[Floats] = [
        embed(engine, images[i : i + size]) for i in range(0, len(images), size)
    ]
    return np.concatenate(parts)
