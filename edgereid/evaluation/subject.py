"""An engine with the preprocessing that belongs to it, and features of batches of any size.

Runtimes round differently at different batch sizes: a network compiled for one image and one for
sixteen take other kernels. At one and the same size an image has, in the engines we know, the same
feature bit for bit whatever its place and its neighbours; ``place_free`` asks a given engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.base import Engine
from edgereid.images import Batch, Preprocessing, batch_of, mirrored

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine and what its manifest says about it. ``flip``: an embedding is the mean of the
    features of the image and of its mirror image."""

    engine: Engine
    preprocessing: Preprocessing
    distance: str = "cosine"
    flip: bool = False

    def flips(self, asked: bool | None) -> bool:
        """Whether mirror images are run, too: as asked for, None: as the manifest says."""
        return self.flip if asked is None else asked


def batch_size(engine: Engine, wanted: int) -> int:
    """The size of the batches an engine is fed: its own where that is fixed."""
    fixed = engine.inputs[0].shape[0]
    return wanted if fixed is None else fixed


def embed(engine: Engine, batch: Batch) -> Floats:
    """Features (N, D) of a batch of images; an engine of fixed batch size is fed in pieces, the
    last one filled up with repeats whose features are dropped."""
    size = batch_size(engine, len(batch))
    if size == len(batch):
        return engine.run(batch)
    padded = np.concatenate([batch, np.repeat(batch[-1:], -len(batch) % size, axis=0)])
    pieces = [engine.run(padded[i : i + size]) for i in range(0, len(padded), size)]
    return np.concatenate(pieces)[: len(batch)]


def embed_flipped_too(engine: Engine, batch: Batch) -> Floats:
    """The mean of the features of the images and of their mirror images, not normalised before."""
    mean: Floats = embed(engine, batch) + embed(engine, mirrored(batch))
    mean *= np.float32(0.5)
    return mean


def warm_up(subject: Subject, size: int) -> None:
    """One run on noise: runtimes compile, and some fail, only then. Raises InputError."""
    subject.engine.run(_noise(subject, size))


def place_free(subject: Subject, size: int) -> bool:
    """Whether, in batches of ``size``, an image's feature depends on that image alone, bit for bit.

    Asked of noise, in three runs: the batch, the batch reversed, one image among other neighbours
    (a network that quantises each batch by its own range fails there).
    """
    if size == 1:
        return True
    noise = _noise(subject, 2 * size - 1, spread=3)
    first = subject.engine.run(noise[:size])
    reverse = subject.engine.run(noise[size - 1 :: -1])
    among_others = subject.engine.run(noise[size - 1 :])
    return np.array_equal(first[::-1], reverse) and np.array_equal(first[-1], among_others[0])


def _noise(subject: Subject, count: int, spread: int = 1) -> Batch:
    """``count`` images; the second half has a ``spread``-th of the range."""
    shape = (count, subject.preprocessing.height, subject.preprocessing.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, size=shape, dtype=np.uint8)
    pixels[count // 2 :] //= spread
    return batch_of(pixels, subject.preprocessing)
