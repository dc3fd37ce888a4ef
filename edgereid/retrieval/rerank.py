"""k-reciprocal re-ranking without a matrix of all images by all images.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. A pass
over half of all products of two images keeps the nearest neighbours and the largest distance of
every image; from the products of queries and gallery, kept or computed again, come the final
distances, a block of queries at a time. Everything between is sparse. As in the authors' code,
distances are squared Euclidean ones, divided by the largest of their row; under the cosine metric
the features are scaled to length 1 first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError, UsageError
from edgereid.native import NearestTable, ReciprocalEncoding
from edgereid.retrieval.distances import check_range, rows_of_a_block, squared_norms, unit

Floats = NDArray[np.float32]
_BLOCK_BYTES = 64 * 2**20
#: Products of queries and all images that are kept from the first pass, if they need no more:
#: Market-1501's need 260 MB, MSMT17's 4.4 GB.
_KEPT_BYTES = 512 * 2**20
_PREPARE: dict[str, Callable[[Floats], Floats]] = {
    "cosine": lambda images: unit(images, out=images),
    "euclidean": lambda images: images,
}


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
    blocks, some kB an image, and 4 Q (Q + G) bytes where those are at most ``_KEPT_BYTES``.
    Raises InputError when there are fewer images than k1 + 1 or k2, when all images are the same,
    or for features whose distances float32 cannot hold.
    """
    width = max(reranking.k1 + 1, reranking.k2)
    images = np.concatenate([query, gallery])
    if len(images) < width:
        raise InputError(
            f"re-ranking with k1 {reranking.k1}, k2 {reranking.k2} needs {width} images, "
            f"there are {len(images)}: choose smaller ones."
        )
    images = _PREPARE[metric](images)
    exact = squared_norms(images)
    check_range(float(exact.max()))
    squares = exact.astype(np.float32)
    fits = 4 * len(query) * len(images) <= _KEPT_BYTES
    kept = np.empty((len(query) if fits else 0, len(images)), dtype=np.float32)
    neighbours, maxima = nearest(images, squares, width, threads, kept)
    if not (maxima > 0).all():
        raise InputError("all features are the same: there is nothing to re-rank.")
    encoding = ReciprocalEncoding(
        images, squares, maxima, neighbours, len(query), reranking.k1, reranking.k2, threads
    )
    rows = rows_of_a_block(len(query), len(gallery))
    out = np.empty((rows, len(gallery)), dtype=np.float32)
    buffer = np.empty((0 if fits else rows, len(gallery)), dtype=np.float32)
    for start in range(0, len(query), rows):
        part = slice(start, min(start + rows, len(query)))
        products = kept[part] if fits else _products(images[part], images[len(query) :], buffer)
        block = out[: len(products)]
        encoding.mix(products, start, reranking.weight, block, threads)
        yield start, block


def nearest(
    images: Floats, squares: Floats, count: int, threads: int, kept: Floats | None = None
) -> tuple[NDArray[np.int32], Floats]:
    """The ``count`` nearest images (N, count) of each of N images (N, D), itself first and equal
    distances in the order of the images, and its largest squared distance (N,) to any.

    ``squares`` (N,) are the squared norms. Half of the N x N products are computed; ``kept``
    (K, N) gets -2 x.y of the first K images and all images from the Kth on, and some others.
    """
    table, n, start = NearestTable(squares, count), len(images), 0
    kept = np.empty((0, n), dtype=np.float32) if kept is None else kept
    buffer = np.empty(max(n, _BLOCK_BYTES // 4), dtype=np.float32)
    while start < n:
        left = n - start
        rows = max(1, min(left, len(buffer) // left))
        block = kept[start : start + rows]
        if len(block) == 0:
            block = buffer[: rows * left].reshape(rows, left)
        end = start + len(block)
        np.matmul(-2.0 * images[start:end], images[start:].T, out=block[:, -left:])
        table.add(block, threads)
        start = end
    indices, maxima = np.empty((n, count), dtype=np.int32), np.empty(n, dtype=np.float32)
    table.finish(indices, maxima)
    return indices, maxima


def _products(a: Floats, b: Floats, buffer: Floats) -> Floats:
    """-2 a.b of (M, D) and (N, D): (M, N), in ``buffer``, which has as many rows or more."""
    products: Floats = np.matmul(-2.0 * a, b.T, out=buffer[: len(a)])
    return products
