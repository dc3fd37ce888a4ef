"""How hard the built-in task is, and how fast it is drawn: ``python benchmarks/synth_task.py``.

Draws the task (unless ``--data`` has it), and scores the classical baseline on it: a joint RGB
histogram of 8 x 8 x 8 bins in each of six horizontal stripes, compared by the Bhattacharyya
coefficient. It is run as it is, and helped: white-balanced by the grey-world assumption, and on the
middle columns, where the person is. Then the shipped DSLNet (or ``--engine``) on the same queries
and gallery: the best histogram must stay below half of its mAP.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import edgereid
from edgereid.bundle import Bundle
from edgereid.data.market1501 import load_dataset
from edgereid.data.synth import DEMO, synthesise
from edgereid.data.types import ImageRecord
from edgereid.engines.open import open_engine
from edgereid.files import read_json
from edgereid.images import Preprocessing, iter_batches
from edgereid.progress import progress
from edgereid.retrieval import RetrievalResult, evaluate

SHIPPED = Path(edgereid.__file__).parent / "weights" / "dslnet.safetensors"
BINS, STRIPES = 8, 6
#: Mean brightness that the grey-world correction gives every channel.
GREY = 110.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """A colour histogram: how many columns it ignores left and right, and whether it balances."""

    name: str
    margin: int
    balance: bool


BASELINES = (
    Baseline("histogram", 0, False),
    Baseline("histogram, white-balanced", 0, True),
    Baseline("histogram, white-balanced, middle", 14, True),
)


def histogram(colours: NDArray[np.float32]) -> NDArray[np.float64]:
    """Colours (N, 3) in 0..255 -> (BINS**3,) shares; each colour is split between its two
    nearest bins per channel."""
    position = np.clip(colours * (BINS / 256.0) - 0.5, 0.0, BINS - 1.001)
    low = position.astype(np.int64)
    part = position - low
    total = np.zeros(BINS**3)
    for corner in range(8):
        step = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        weight = np.where(step == 1, part, 1.0 - part).prod(axis=1)
        index = (low + step) @ np.array([BINS * BINS, BINS, 1])
        total += np.bincount(index, weight, BINS**3)
    return np.asarray(total / total.sum(), dtype=np.float64)


def describe(path: Path, baseline: Baseline) -> NDArray[np.float32]:
    """The feature of one image, (STRIPES * BINS**3,): roots, so a product is the coefficient."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    pixels = pixels[:, baseline.margin : pixels.shape[1] - baseline.margin]
    if baseline.balance:
        means = pixels.reshape(-1, 3).mean(axis=0)
        pixels = np.clip(pixels * (GREY / np.maximum(means, 20.0)), 0.0, 255.0)
    stripes = np.array_split(pixels, STRIPES, axis=0)
    parts = [histogram(stripe.reshape(-1, 3)) for stripe in stripes]
    return np.sqrt(np.concatenate(parts)).astype(np.float32)


def features(records: Sequence[ImageRecord], baseline: Baseline) -> NDArray[np.float32]:
    """The features of many images, (N, STRIPES * BINS**3)."""
    shown = progress(records, total=len(records), label=baseline.name)
    return np.stack([describe(record.path, baseline) for record in shown])


def score(root: Path, baseline: Baseline) -> RetrievalResult:
    """The baseline's result on the dataset in ``root``."""
    dataset = load_dataset(root)
    query, gallery = dataset.query, dataset.gallery
    return evaluate(
        features(query, baseline),
        [record.pid for record in query],
        [record.camid for record in query],
        features(gallery, baseline),
        [record.pid for record in gallery],
        [record.camid for record in gallery],
    )


def score_engine(root: Path, path: Path) -> RetrievalResult:
    """The result of an engine, with the preprocessing that belongs to it."""
    dataset = load_dataset(root)
    if Bundle.is_bundle(path):
        preprocessing = Bundle.open(path).manifest.preprocessing
    else:
        preprocessing = Preprocessing.from_json(
            read_json(path.with_suffix(".json"))["preprocessing"]
        )
    with open_engine(path) as engine:

        def embed(records: Sequence[ImageRecord]) -> NDArray[np.float32]:
            batches = iter_batches([r.path for r in records], preprocessing, 32)
            total = -(-len(records) // 32)
            return np.concatenate(
                [engine.run(x) for x in progress(batches, total=total, label=path.name)]
            )

        return evaluate(
            embed(dataset.query),
            [record.pid for record in dataset.query],
            [record.camid for record in dataset.query],
            embed(dataset.gallery),
            [record.pid for record in dataset.gallery],
            [record.camid for record in dataset.gallery],
        )


def main() -> None:
    """Prints one line for the drawing, one for every baseline and one for the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--engine", type=Path, default=SHIPPED, help="weights or engine to score (shipped DSLNet)"
    )
    parser.add_argument("--data", type=Path, help="where the built-in task is, or is to be drawn")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = args.data or Path(scratch, "demo")
        start = time.perf_counter()
        result = synthesise(root, DEMO, progress=progress)
        seconds = time.perf_counter() - start
        images = result.train + result.query + result.gallery
        if result.existed:
            print(f"{images} images, drawn before")
        else:
            speed = images / seconds
            print(
                f"{images} images in {seconds:.1f} s: {speed:.0f} a second, {os.cpu_count()} cores"
            )
        print(f"{result.query} queries, {result.gallery} gallery images, single query")
        best = 0.0
        for baseline in BASELINES:
            found = score(root, baseline)
            best = max(best, found.mean_ap)
            print(f"{baseline.name:<36} Rank-1 {found.rank(1):6.1%}   mAP {found.mean_ap:6.1%}")
        found = score_engine(root, args.engine)
        print(f"{args.engine.name:<36} Rank-1 {found.rank(1):6.1%}   mAP {found.mean_ap:6.1%}")
        print(f"best histogram / network, mAP: {best / found.mean_ap:.2f}")


if __name__ == "__main__":
    main()
