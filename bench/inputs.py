"""What the engines are fed: several buffers of real crops, or of noise, never zeros."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.opening import noise
from edgereid.data.types import ReidDataset
from edgereid.engines.base import Engine
from edgereid.images import Preprocessing, load_batch

BUFFERS = 4


def crop_files(dataset: ReidDataset, batch: int, seed: int) -> list[list[Path]]:
    """``BUFFERS`` lists of ``batch`` gallery files, drawn by ``seed`` (a file again only when the
    gallery is smaller than that)."""
    files = [record.path for record in dataset.gallery]
    order = np.random.default_rng(seed).permutation(len(files))
    picks = [files[order[i % len(files)]] for i in range(batch * BUFFERS)]
    return [picks[i * batch : (i + 1) * batch] for i in range(BUFFERS)]


def arrays(
    dataset: ReidDataset | None, preprocessing: Preprocessing, batch: int, seed: int
) -> list[NDArray[np.float32]]:
    """Buffers (batch, 3, H, W): real crops of ``dataset``, or noise without one."""
    if dataset is None:
        return [noise(batch, preprocessing, seed + i) for i in range(BUFFERS)]
    return [load_batch(files, preprocessing) for files in crop_files(dataset, batch, seed)]


def end_to_end(
    engine: Engine, preprocessing: Preprocessing
) -> Callable[[Sequence[Path]], NDArray[np.float32]]:
    """Files -> embeddings of length one: decode, resize, normalise, engine, L2, in one thread."""

    def run(files: Sequence[Path]) -> NDArray[np.float32]:
        features = engine.run(load_batch(files, preprocessing))
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        unit: NDArray[np.float32] = features / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit

    return run
