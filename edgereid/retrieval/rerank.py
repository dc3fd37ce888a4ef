"""k-reciprocal re-ranking without a matrix of all images by all images.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. Two
passes over blocks of distances: the first keeps the nearest neighbours and the largest distance of
every image, the second gives the final distances, a block of queries at a time. Everything between
is sparse. As in the authors' code, distances are squared Euclidean ones, divided by the largest of
their row; under the cosine metric the features are scaled to length 1 first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError, UsageError
from edgereid.native import NearestTable, ReciprocalEncoding
from edgereid.retrieval.distances import rows_of_a_block, squared_norms, unit

Floats = NDArray[np.float32]
_BLOCK_BYTES = 64 * 2**20
_FEATURES = {"cosine": unit, "euclidean": lambda features: features}


@dataclass(frozen=True, slots=True)
class ReRanking:
    """Neighbours in a reciprocal set (``k1``), images averaged in the local query expansion
    (``k2``), ``weight`` of the original distance beside the Jaccard distance."""

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1:
            raise UsageError(f"re-ranking with k1 {self.k1}, k2 {self.k2}: at least 1 is needed.")
        if not 0 <= self.weight <= 1:
            raise UsageError(f"re-ranking with weight {self.weight}: 0 to 1 is allowed.")

    def __str__(self) -> str:
        return f"k-reciprocal re-ranking (k1 {self.k1}, k2 {self.k2}, weight {self.weight:g})"


def reranked_blocks(
    query: Floats, gallery: Floats, reranking: ReRanking, metric: str, threads: int
) -> Iterator[tuple[int, Floats]]:
    """Yield (first row, final distances (rows, G)) for query (Q, D) and gallery (G, D).

    The array is overwritten by the next block. Memory beyond the features: a copy of them, two
    blocks, and some kB an image. Raises InputError when there are fewer images than k1 + 1 or k2,
    or when all images are the same.
    """
    width = max(reranking.k1 + 1, reranking.k2)
    images = _FEATURES[metric](np.concatenate([query, gallery]))
    if len(images) < width:
        raise InputError(
            f"re-ranking with k1 {reranking.k1}, k2 {reranking.k2} needs {width} images, "
            f"there are {len(images)}: choose smaller ones."
        )
    squares = squared_norms(images).astype(np.float32)
    neighbours, maxima = nearest(images, squares, width, threads)
    if not (maxima > 0).all():
        raise InputError("all features are the same: there is nothing to re-rank.")
    encoding = ReciprocalEncoding(
        images, squares, maxima, neighbours, len(query), reranking.k1, reranking.k2, threads
    )
    for start, block in _products(images[: len(query)], images[len(query) :]):
        encoding.mix(block, start, reranking.weight, threads)
        yield start, block


def nearest(
    images: Floats, squares: Floats, count: int, threads: int
) -> tuple[NDArray[np.int32], Floats]:
    """The ``count`` nearest images (N, count) of each of N images (N, D), itself first and equal
    distances in the order of the images, and its largest squared distance (N,) to any.

    ``squares`` (N,) are the squared norms. Half of the N x N products are computed.
    """
    table, n, start = NearestTable(squares, count), len(images), 0
    buffer = np.empty(max(n, _BLOCK_BYTES // 4), dtype=np.float32)
    while start < n:
        rows = max(1, min(n - start, len(buffer) // (n - start)))
        block = buffer[: rows * (n - start)].reshape(rows, n - start)
        np.matmul(-2.0 * images[start : start + rows], images[start:].T, out=block)
        table.add(block, threads)
        start += rows
    indices, maxima = np.empty((n, count), dtype=np.int32), np.empty(n, dtype=np.float32)
    table.finish(indices, maxima, threads)
    return indices, maxima


def _products(a: Floats, b: Floats) -> Iterator[tuple[int, Floats]]:
    """-2 a.b, a block of rows at a time in one buffer."""
    rows = rows_of_a_block(len(a), len(b))
    buffer = np.empty((rows, len(b)), dtype=np.float32)
    for start in range(0, len(a), rows):
        part = -2.0 * a[start : start + rows]
        yield start, np.matmul(part, b.T, out=buffer[: len(part)])
