"""Distances between features, a block of queries at a time, so that the full matrix never exists.

Only their order within one query matters to a ranking, so what is the same for a whole row is
left out: "cosine" gives minus the cosine similarity, "euclidean" the squared Euclidean distance
minus the query's squared norm. Both cost one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError

Floats = NDArray[np.float32]

BLOCK_BYTES = 32 * 2**20
_LEAST_ROWS = 128  # 0.5 GiB a million gallery images
#: Squared norms between which squared distances neither overflow nor vanish in float32.
_SMALLEST, _LARGEST = 1e-20, 1e36


def blocks(
    query: Floats, gallery: Floats, metric: str, overwrite: bool = False
) -> Iterator[tuple[int, Floats]]:
    """Yield (first row, distances (rows, G)) for query (Q, D) and gallery (G, D), no NaN in either.

    ``metric`` is a key of METRICS; ``overwrite``: ``gallery`` may be changed, which saves a copy.
    The array is overwritten by the next block. Raises InputError for features whose distances
    float32 cannot hold.
    """
    query, gallery, bias = METRICS[metric](query, gallery, overwrite)
    rows = rows_of_a_block(len(query), len(gallery))
    buffer = np.empty((rows, len(gallery)), dtype=np.float32)
    for start in range(0, len(query), rows):
        part = query[start : start + rows]
        out = np.matmul(part, gallery.T, out=buffer[: len(part)])
        if bias is not None:
            out += bias
        yield start, out


def rows_of_a_block(rows: int, columns: int) -> int:
    """How many of ``rows`` rows of ``columns`` float32 make a block: enough for a matrix product to
    be efficient, however long they are."""
    return min(rows, max(_LEAST_ROWS, BLOCK_BYTES // (4 * columns)))


Prepared = tuple[Floats, Floats, Floats | None]


def _cosine(query: Floats, gallery: Floats, overwrite: bool) -> Prepared:
    """-cos(q, g); a feature of zeros has no direction and similarity 0 to everything."""
    return -unit(query), unit(gallery, out=gallery if overwrite else None), None


def _euclidean(query: Floats, gallery: Floats, overwrite: bool) -> Prepared:
    """|g|^2 - 2 q.g = |q - g|^2 - |q|^2."""
    squared = squared_norms(gallery)
    check_range(max(float(squared.max()), float(squared_norms(query).max())))
    return -2.0 * query, gallery, squared.astype(np.float32)


#: Metric -> the factors and the summand of the distances: query @ gallery.T + summand.
METRICS: dict[str, Callable[[Floats, Floats, bool], Prepared]] = {
    "cosine": _cosine,
    "euclidean": _euclidean,
}


def check_range(largest: float) -> None:
    """Raise InputError when float32 cannot hold squared distances of features whose largest squared
    norm is ``largest``."""
    if largest > _LARGEST or 0 < largest < _SMALLEST:
        raise InputError(
            f"the features' norm is {largest**0.5:.3g}: squared distances do not fit float32. "
            "Normalise the features or use the cosine metric."
        )


def squared_norms(features: Floats) -> NDArray[np.float64]:
    """Squared Euclidean norms, (N, D) -> (N,), in float64 so that no float32 feature overflows."""
    squared: NDArray[np.float64] = np.einsum("nd,nd->n", features, features, dtype=np.float64)
    return squared


def unit(features: Floats, out: Floats | None = None) -> Floats:
    """Rows scaled to length 1 (rows of zeros stay), rounded once to float32; into ``out``."""
    norms = np.sqrt(squared_norms(features))
    norms[norms == 0] = 1.0
    if out is None:
        out = np.empty_like(features)
    np.divide(features, norms[:, None], out=out, casting="same_kind")
    return out
