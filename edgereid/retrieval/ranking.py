"""The heads of the ranked lists, for looking at them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgereid.errors import UsageError
from edgereid.retrieval.checks import matrix
from edgereid.retrieval.distances import blocks
from edgereid.retrieval.evaluate import evaluate
from edgereid.retrieval.protocol import judge

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class RankedLists:
    """The nearest ``k`` gallery entries of each of the V valid queries, as the protocol ranks them:
    what it passes over is not in the lists. A list shorter than k is filled up: index -1, distance
    infinite, not right."""

    query_index: Ints  # (V,) position among all queries
    gallery_index: Ints  # (V, k) position in the whole gallery
    distance: NDArray[np.float64]  # (V, k): 1 - cosine, or Euclidean distance
    right: NDArray[np.bool_]  # (V, k): the same person by another camera
    first_match: Ints  # (V,) rank, from 1, of the first true match
    average_precision: NDArray[np.float64]  # (V,)


def ranked_lists(
    query_features: NDArray[np.floating],
    query_pids: ArrayLike,
    query_camids: ArrayLike,
    gallery_features: NDArray[np.floating],
    gallery_pids: ArrayLike,
    gallery_camids: ArrayLike,
    k: int = 10,
    metric: str = "cosine",
) -> RankedLists:
    """Rank as ``evaluate`` does, equal distances in the order of the gallery, and keep the heads.

    Raises what ``evaluate`` raises, and UsageError for ``k`` below 1.
    """
    if k < 1:
        raise UsageError(f"lists of {k} entries: at least 1 is needed.")
    result = evaluate(
        query_features,
        query_pids,
        query_camids,
        gallery_features,
        gallery_pids,
        gallery_camids,
        metric=metric,
    )
    judgement = judge(*(_ints(x) for x in (query_pids, query_camids, gallery_pids, gallery_camids)))
    query = matrix("query features", query_features)[judgement.query_index]
    gallery = matrix("gallery features", gallery_features)[judgement.gallery_index]
    index = np.full((len(query), k), -1, dtype=np.int64)
    distance = np.full((len(query), k), np.inf)
    right = np.zeros((len(query), k), dtype=np.bool_)
    for start, block in blocks(query, gallery, metric):
        for row, values in enumerate(block, start):
            ignored = judgement.ignored.rows(row, row + 1).indices
            values[ignored] = np.inf
            nearest = _smallest(values, min(k, len(gallery) - len(ignored)))
            found = slice(0, len(nearest))
            index[row, found] = judgement.gallery_index[nearest]
            distance[row, found] = _DISTANCES[metric](query[row], gallery[nearest])
            right[row, found] = np.isin(nearest, judgement.matches.rows(row, row + 1).indices)
    return RankedLists(
        judgement.query_index, index, distance, right, result.first_match, result.average_precision
    )


def _smallest(values: Floats, count: int) -> Ints:
    """Places of the ``count`` >= 1 smallest of (N,): the head of a stable sort, in linear time."""
    limit = np.partition(values, count - 1)[count - 1]
    near = np.flatnonzero(values <= limit)
    return near[np.argsort(values[near], kind="stable")][:count]


def _ints(values: ArrayLike) -> Ints:
    return np.asarray(values).astype(np.int64)


def _cosine(one: Floats, many: Floats) -> NDArray[np.float64]:
    """1 - cosine similarity of (D,) and (N, D): (N,)."""
    a, b = one.astype(np.float64), many.astype(np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b, axis=1)
    similarity: NDArray[np.float64] = np.zeros(len(b))
    np.divide(b @ a, lengths, out=similarity, where=lengths > 0)
    return 1.0 - similarity


def _euclidean(one: Floats, many: Floats) -> NDArray[np.float64]:
    """Euclidean distance of (D,) and (N, D): (N,)."""
    distances: NDArray[np.float64] = np.linalg.norm(
        many.astype(np.float64) - one.astype(np.float64), axis=1
    )
    return distances


_DISTANCES = {"cosine": _cosine, "euclidean": _euclidean}
