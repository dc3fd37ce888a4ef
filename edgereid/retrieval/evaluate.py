"""Evaluate features under the Market-1501 single-query protocol.

The ranks of the true matches are counted, not sorted, by the compiled kernel. Equal distances stand
in the order of the gallery, so the same distances give the same result on every platform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgereid.cpus import usable_cpus
from edgereid.errors import InputError, UsageError
from edgereid.native import match_ranks
from edgereid.retrieval.checks import integers, matrix, person_ids
from edgereid.retrieval.distances import METRICS, blocks
from edgereid.retrieval.metrics import (
    average_precision,
    first_match,
    inverse_negative_penalty,
    trapezoid_average_precision,
)
from edgereid.retrieval.protocol import Judgement, judge
from edgereid.retrieval.rerank import ReRanking, reranked_blocks
from edgereid.retrieval.result import CMC_RANKS, RetrievalResult

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Labels = tuple[Ints, Ints]  # person ids, camera ids

#: Definitions of average precision: name -> (function, words for the protocol line).
AVERAGE_PRECISION: dict[str, tuple[Callable[[Ints, Ints], NDArray[np.float64]], str]] = {
    "precision": (average_precision, "AP as mean precision at the true matches"),
    "trapezoid": (trapezoid_average_precision, "AP by trapezoids as in the Market-1501 toolkit"),
}


def evaluate(
    query_features: NDArray[np.floating],
    query_pids: ArrayLike,
    query_camids: ArrayLike,
    gallery_features: NDArray[np.floating],
    gallery_pids: ArrayLike,
    gallery_camids: ArrayLike,
    metric: str = "cosine",
    ap: str = "precision",
    threads: int | None = None,
    reranking: ReRanking | None = None,
) -> RetrievalResult:
    """Rank the gallery for every query and score it.

    Features are (Q, D) and (G, D), used as float32; ids are integers (Q,) and (G,): person id -1 is
    junk, 0 a distractor. ``metric`` is "cosine" or "euclidean", ``ap`` "precision" or "trapezoid".
    ``threads`` None: as many as this process may use. ``reranking``: neighbours are all queries and
    all of the gallery but junk. Memory beyond the features: a copy of them and some 32 MiB of
    distances; with re-ranking that of ``reranked_blocks``.

    Raises InputError for arrays that are empty, not finite or do not fit together, and when no
    query has a true match; UsageError for an unknown ``metric`` or ``ap``.
    """
    if metric not in METRICS:
        raise UsageError(f"metric {metric!r} is unknown: {', '.join(METRICS)}.")
    query = matrix("query features", query_features)
    gallery = matrix("gallery features", gallery_features)
    if query.shape[1] != gallery.shape[1]:
        raise InputError(
            f"query features have {query.shape[1]} values, gallery features {gallery.shape[1]}: "
            "both must come from the same network."
        )
    judgement = _judge(
        _labels("query", query_pids, query_camids, len(query)),
        _labels("gallery", gallery_pids, gallery_camids, len(gallery)),
    )
    chosen = _select(gallery, judgement.gallery_index)
    threads = usable_cpus() if threads is None else threads
    words = f"{metric} distance"
    if reranking is not None:
        # Every query is a neighbour, judged or not; those without a match are left out at the end.
        distances = _rows_of(
            reranked_blocks(query, chosen, reranking, metric, threads), judgement.query_index
        )
        words = f"{words}, {reranking}"
    else:
        own = chosen is not gallery
        distances = blocks(_select(query, judgement.query_index), chosen, metric, own)
    return _score(distances, judgement, len(query), words, ap, threads)


def _rows_of(distances: Iterable[tuple[int, Floats]], index: Ints) -> Iterator[tuple[int, Floats]]:
    """The rows of ``index`` (ascending), numbered anew."""
    for start, block in distances:
        low, high = np.searchsorted(index, [start, start + len(block)])
        if low < high:
            yield int(low), _select(block, index[low:high] - start)


def evaluate_distances(
    distances: NDArray[np.floating],
    query_pids: ArrayLike,
    query_camids: ArrayLike,
    gallery_pids: ArrayLike,
    gallery_camids: ArrayLike,
    ap: str = "precision",
    threads: int | None = None,
) -> RetrievalResult:
    """Score a matrix of distances (Q, G), used as float32: smaller is nearer.

    Everything else is as in ``evaluate``.
    """
    given = matrix("distances", distances)
    judgement = _judge(
        _labels("query", query_pids, query_camids, given.shape[0]),
        _labels("gallery", gallery_pids, gallery_camids, given.shape[1]),
    )
    taking_part = given[np.ix_(judgement.query_index, judgement.gallery_index)]
    return _score([(0, taking_part)], judgement, len(given), "given distances", ap, threads)


def _score(
    distances: Iterable[tuple[int, Floats]],
    judgement: Judgement,
    queries: int,
    distance: str,
    ap: str,
    threads: int | None,
) -> RetrievalResult:
    if ap not in AVERAGE_PRECISION:
        raise UsageError(f"average precision {ap!r} is unknown: {', '.join(AVERAGE_PRECISION)}.")
    average, words = AVERAGE_PRECISION[ap]
    threads = usable_cpus() if threads is None else threads
    ranks = np.concatenate(list(_ranks(distances, judgement, threads)))
    offsets = judgement.matches.offsets
    first = first_match(ranks, offsets)
    precision = average(ranks, offsets)
    valid = len(first)
    return RetrievalResult(
        protocol=f"Market-1501 single query, {distance}, {words}, ties in gallery order",
        cmc={k: float(np.mean(first <= k)) for k in CMC_RANKS},
        mean_ap=float(np.mean(precision)),
        mean_inp=float(np.mean(inverse_negative_penalty(ranks, offsets))),
        average_precision=precision,
        first_match=first,
        query_index=judgement.query_index,
        valid_queries=valid,
        dropped_queries=queries - valid,
    )


def _ranks(
    distances: Iterable[tuple[int, Floats]], judgement: Judgement, threads: int
) -> Iterator[Ints]:
    """Ranks of the true matches, block by block."""
    for start, block in distances:
        matches = judgement.matches.rows(start, start + len(block))
        ignored = judgement.ignored.rows(start, start + len(block))
        yield match_ranks(
            block, matches.offsets, matches.indices, ignored.offsets, ignored.indices, threads
        )


def _judge(query: Labels, gallery: Labels) -> Judgement:
    judgement = judge(*query, *gallery)
    if len(judgement.query_index) == 0:
        raise InputError(
            "no query has a true match: the same person id in the gallery, taken by another camera."
        )
    return judgement


def _labels(side: str, pids: ArrayLike, camids: ArrayLike, count: int) -> Labels:
    return person_ids(side, pids, count), integers(f"{side} camera ids", camids, count)


def _select(features: Floats, index: Ints) -> Floats:
    """The rows of ``index``, without a copy where that is all of them."""
    return features if len(index) == len(features) else features[index]
