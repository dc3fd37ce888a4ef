"""Batches of image files, decoded and preprocessed by threads while the engine runs.

Every batch has the same size: the last one is filled up with repeats. The buffers are used again
and again, since fresh memory costs as much as the arithmetic of normalising.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.data.check import read_image_file
from edgereid.errors import InputError
from edgereid.images import Batch, Preprocessing, ahead, decode_bytes, normalise, resize

#: Batches that are being made, or wait, while the engine runs another.
DEPTH = 2


@dataclass(frozen=True, slots=True)
class Image:
    """A file to load; ``digest``: the SHA-256 its bytes must have, None: any."""

    path: Path
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Buffer:
    """A batch under way: pixels (B, H, W, 3) and what the engine takes: (B, 3, H, W) float32, or
    those pixels."""

    pixels: NDArray[np.uint8]
    batch: Batch

    @staticmethod
    def empty(size: int, preprocessing: Preprocessing) -> _Buffer:
        height, width = preprocessing.height, preprocessing.width
        pixels = np.empty((size, height, width, 3), dtype=np.uint8)
        if preprocessing.input == "uint8":
            return _Buffer(pixels, pixels)
        return _Buffer(pixels, np.empty((size, 3, height, width), dtype=np.float32))


@dataclass(frozen=True, slots=True)
class _Slice:
    """Rows of a batch that one thread fills, and the number of images in the whole batch."""

    buffer: _Buffer
    start: int
    images: Sequence[Image]
    count: int


def digests(paths: Sequence[Path], workers: int) -> list[bytes]:
    """The SHA-256 of every file, in order. Raises InputError."""

    def some(chunk: Sequence[Path]) -> list[bytes]:
        return [hashlib.sha256(read_image_file(path)).digest() for path in chunk]

    chunks = [paths[i : i + 256] for i in range(0, len(paths), 256)]
    return [digest for part in ahead(some, chunks, workers) for digest in part]


def load(
    images: Sequence[Image], preprocessing: Preprocessing, size: int, workers: int
) -> Generator[tuple[Batch, int], None, None]:
    """Batches of ``size`` of ``images`` in order, each with the number of images in it.

    A batch is overwritten once the next one is asked for. At most ``DEPTH + 1`` are in memory.
    All threads work on the same batch: an engine that shares the processors with them waits for
    the slowest of its own threads, so one that decodes alone would hold up all the others.
    Raises InputError, at its place, for a file that cannot be decoded or whose bytes are others.
    """
    free: deque[_Buffer] = deque()
    slices = _slices(images, preprocessing, size, workers, free)
    depth = DEPTH * -(-size // -(-size // workers))  # in slices, as many as a whole batch has
    with closing(ahead(partial(_fill, preprocessing), slices, workers, depth)) as filled:
        for last in filled:
            if last.start + len(last.images) < last.count:
                continue
            buffer = last.buffer
            buffer.batch[last.count :] = buffer.batch[last.count - 1]
            yield buffer.batch, last.count
            free.append(buffer)


def _slices(
    images: Sequence[Image],
    preprocessing: Preprocessing,
    size: int,
    workers: int,
    free: deque[_Buffer],
) -> Iterator[_Slice]:
    """The images in the order of their places: batch by batch, ``workers`` slices each."""
    for first in range(0, len(images), size):
        chunk = images[first : first + size]
        buffer = free.popleft() if free else _Buffer.empty(size, preprocessing)
        step = -(-len(chunk) // workers)
        for start in range(0, len(chunk), step):
            yield _Slice(buffer, start, chunk[start : start + step], len(chunk))


def _fill(preprocessing: Preprocessing, part: _Slice) -> _Slice:
    rows = slice(part.start, part.start + len(part.images))
    pixels = part.buffer.pixels[rows]
    for row, image in enumerate(part.images):
        pixels[row] = _pixels(image, preprocessing)
    if preprocessing.input == "float32":
        normalise(pixels, preprocessing, out=part.buffer.batch[rows])
    return part


def _pixels(image: Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    data = read_image_file(image.path)
    if image.digest is not None and hashlib.sha256(data).digest() != image.digest:
        raise InputError(f"{image.path} was changed while it was being read: run again.")
    return resize(decode_bytes(data, image.path), preprocessing)
