"""Features of image files: batches through an engine, what the cache holds left out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.cpus import usable_cpus
from edgereid.data.check import MAX_WORKERS, check_workers
from edgereid.errors import UsageError
from edgereid.evaluation.loading import Image, load
from edgereid.evaluation.subject import Subject, batch_size, embed, embed_flipped_too
from edgereid.progress import progress

Floats = NDArray[np.float32]
MAX_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Extraction:
    """How images go through an engine. ``batch``: images a run (an engine of fixed batch size has
    its own); ``workers``: threads that decode, None: one a processor; ``flip``: the mean of the
    features of the image and its mirror image, None: where the engine's manifest says so."""

    batch: int = 16
    workers: int | None = None
    flip: bool | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MAX_BATCH:
            raise UsageError(f"batch size {self.batch}: from 1 to {MAX_BATCH} are allowed.")
        if self.workers is not None:
            check_workers(self.workers)

    @property
    def threads(self) -> int:
        """Threads that decode."""
        return self.workers or min(usable_cpus(), MAX_WORKERS)


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """Features (N, D), how many of the images were run for them, and the seconds that took."""

    features: Floats
    images_run: int
    seconds: float


def extract(
    subject: Subject, images: Sequence[Image], extraction: Extraction, label: str = "features"
) -> Extracted:
    """Features of ``images`` in order; every batch the engine sees has the same size.

    Raises InputError when a file cannot be decoded or the engine fails.
    """
    size = batch_size(subject.engine, extraction.batch)
    run = embed_flipped_too if subject.flips(extraction.flip) else embed
    parts: list[Floats] = []
    start = time.perf_counter()
    batches = load(images, subject.preprocessing, size, extraction.threads)
    with closing(batches):
        for batch, count in progress(batches, label=label, total=ceil(len(images) / size)):
            parts.append(run(subject.engine, batch)[:count])
    seconds = time.perf_counter() - start
    features = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)
    return Extracted(features, len(images), seconds)


def extract_paths(
    subject: Subject, paths: Sequence[Path], extraction: Extraction, label: str = "features"
) -> Floats:
    """``extract`` without cache or digests: features (N, D)."""
    return extract(subject, [Image(path) for path in paths], extraction, label).features


def batch_keys(digests: Sequence[bytes], size: int) -> list[bytes]:
    """What features are kept under where they depend on the batch: the digest of the whole batch
    and the place in it, hashed to 32 bytes."""
    keys = []
    for start in range(0, len(digests), size):
        batch = hashlib.sha256(b"".join(digests[start : start + size])).digest()
        keys += [
            hashlib.sha256(batch + place.to_bytes(4, "little")).digest()
            for place in range(len(digests[start : start + size]))
        ]
    return keys
