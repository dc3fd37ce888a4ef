"""Training images: decoded once and kept in memory as far as a budget allows, varied and batched
by loader threads.

Persons' crops are small (64x128: 24 KiB), so the whole of a usual training set fits; what does not
fit is decoded again each time.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgereid.data.augment import Augmentation, augment, generator
from edgereid.data.sampler import Batch
from edgereid.data.types import ImageRecord
from edgereid.errors import InputError
from edgereid.files import sha256
from edgereid.images import Preprocessing, decode

CACHE_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """Images (N, H, W, 3) float32, normalised, and their labels (N,) int64."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


class TrainingImages:
    """The training records with labels 0..num_ids-1 in the order of ascending person id.

    Only persons train: records with a pid of 0 or below (distractors, junk) are left out. Raises
    InputError when fewer than two persons remain. Decoded images are kept up to ``cache_bytes``.
    """

    def __init__(self, records: Sequence[ImageRecord], cache_bytes: int = CACHE_BYTES) -> None:
        self.records = tuple(r for r in records if r.pid > 0)
        pids, labels = np.unique([r.pid for r in self.records], return_inverse=True)
        self.labels: NDArray[np.int64] = labels.astype(np.int64).reshape(-1)
        self.num_ids = len(pids)
        if self.num_ids < 2:
            raise InputError(
                f"the training images show {self.num_ids} people: at least two are needed to learn."
            )
        self._cache: dict[int, NDArray[np.uint8]] = {}
        self._free = cache_bytes
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.records)

    def digest(self, root: Path) -> str:
        """SHA-256 over every training file's name below ``root``, person id and bytes."""
        digest = hashlib.sha256()
        for r in sorted(self.records, key=lambda r: r.path):
            digest.update(
                f"{r.path.relative_to(root).as_posix()} {r.pid} {sha256(r.path)}\n".encode()
            )
        return digest.hexdigest()

    def image(self, index: int) -> Image.Image:
        """The decoded image in RGB at its own size."""
        cached = self._cache.get(index)
        if cached is not None:
            return Image.fromarray(cached)
        image = decode(self.records[index].path)
        size = image.width * image.height * 3
        with self._lock:
            keep = size <= self._free and index not in self._cache
            self._free -= size if keep else 0
        if keep:
            self._cache[index] = np.asarray(image)
        return image

    def load(
        self,
        batch: Batch,
        positions: range,
        epoch: int,
        seed: int,
        augmentation: Augmentation,
        preprocessing: Preprocessing,
    ) -> LoadedBatch:
        """The batch's images, each varied by the generator of (seed, epoch, its position)."""
        shape = (len(batch), preprocessing.height, preprocessing.width, 3)
        out = np.empty(shape, dtype=np.float32)
        for row, (index, position) in enumerate(zip(batch, positions, strict=True)):
            rng = generator(seed, epoch, position)
            out[row] = augment(self.image(int(index)), augmentation, preprocessing, rng)
        return LoadedBatch(out, self.labels[batch])


def load_ahead(
    images: TrainingImages,
    batches: Sequence[Batch],
    first: int,
    epoch: int,
    seed: int,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    workers: int = 1,
    share: slice = slice(None),
) -> Iterator[LoadedBatch]:
    """Load ``batches[first:]`` in order, ``workers + 1`` of them ahead of the consumer.

    ``share`` are the rows of every batch that this process wants; they are the same whoever asks.
    """

    def load(step: int) -> LoadedBatch:
        size = len(batches[step])
        positions = range(step * size, (step + 1) * size)
        mine = batches[step][share]
        return images.load(mine, positions[share], epoch, seed, augmentation, preprocessing)

    steps = iter(range(first, len(batches)))
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[LoadedBatch]] = deque(
            pool.submit(load, s) for s in islice(steps, workers + 1)
        )
        try:
            while pending:
                ready = pending.popleft().result()
                pending.extend(pool.submit(load, s) for s in islice(steps, 1))
                yield ready
        finally:
            pool.shutdown(cancel_futures=True)
