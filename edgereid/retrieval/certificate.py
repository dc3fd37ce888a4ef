"""Without labels: for how many queries quantization cannot have changed the best match.

Features are points (of length 1 where cosines are compared), and an engine moves each of them by a
distance that was measured. By the triangle inequality a distance between two points changes by at
most the sum of what both moved; so where the best match is nearer than every other by more than
the two sums, it stays the best. Where the gallery keeps the reference's features only the query
moves, and the best match changes only when it crosses the plane half way between two of them:
that is how far it would have to go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError
from edgereid.retrieval.distances import rows_of_a_block

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]

#: What rounding in the distances themselves may hide.
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Certificate:
    """Shares of the queries, 0..1, whose best match certainly stays and whose best match did stay:
    when both sides are the candidate's, and when the gallery is the reference's."""

    queries: int
    certified: float
    kept: float
    certified_mixed: float
    kept_mixed: float
    median_error: float


def certify(
    reference: tuple[Floats, Floats | None], candidate: tuple[Floats, Floats | None], distance: str
) -> Certificate:
    """Certify queries (Q, D) against a gallery (G, D), given as pairs by both engines; a gallery of
    None: every query is looked up among the others. ``distance``: "cosine" or "euclidean".

    Raises InputError when the features do not fit together or the gallery has fewer than two.
    """
    old_query, old_gallery = _sides(reference, distance)
    new_query, new_gallery = _sides(candidate, distance)
    if old_query.shape != new_query.shape or old_gallery.shape != new_gallery.shape:
        raise InputError("features of different shapes cannot be certified against each other.")
    among = reference[1] is None
    if len(old_gallery) - among < 2:
        raise InputError("a certificate needs two gallery images at least: give more crops.")
    moved_query = np.linalg.norm(new_query - old_query, axis=1)
    moved_gallery = np.linalg.norm(new_gallery - old_gallery, axis=1)
    found = np.zeros((len(old_query), 4), dtype=np.bool_)
    for rows in _blocks(len(old_query), len(old_gallery)):
        old = _distances(old_query[rows], old_gallery, rows if among else None)
        best = old.argmin(axis=1)
        safe = _both_move(old, best, moved_query[rows], moved_gallery)
        still = _query_moves(old, best, moved_query[rows], old_gallery)
        new = _distances(new_query[rows], new_gallery, rows if among else None)
        mixed = _distances(new_query[rows], old_gallery, rows if among else None)
        kept, kept_mixed = new.argmin(axis=1) == best, mixed.argmin(axis=1) == best
        found[rows] = np.stack([safe, kept, still, kept_mixed], axis=1)
    certified, kept, certified_mixed, kept_mixed = (float(v) for v in found.mean(axis=0))
    return Certificate(
        queries=len(old_query),
        certified=certified,
        kept=kept,
        certified_mixed=certified_mixed,
        kept_mixed=kept_mixed,
        median_error=float(np.median(moved_query)),
    )


def _sides(side: tuple[Floats, Floats | None], distance: str) -> tuple[Wide, Wide]:
    query = side[0].astype(np.float64)
    gallery = query if side[1] is None else side[1].astype(np.float64)
    if distance != "cosine":
        return query, gallery
    return _unit(query), _unit(gallery)


def _unit(rows: Wide) -> Wide:
    unit: Wide = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return unit


def _blocks(queries: int, gallery: int) -> Iterator[slice]:
    step = rows_of_a_block(queries, 2 * gallery)
    for start in range(0, queries, step):
        yield slice(start, min(start + step, queries))


def _distances(query: Wide, gallery: Wide, own: slice | None) -> Wide:
    """Euclidean distances (Q, G); of a query to itself (``own``: its rows in the gallery)
    infinite."""
    squares = (query**2).sum(axis=1)[:, None] + (gallery**2).sum(axis=1) - 2 * query @ gallery.T
    found: Wide = np.sqrt(np.maximum(squares, 0.0))
    if own is not None:
        found[np.arange(len(query)), np.arange(own.start, own.stop)] = np.inf
    return found


def _both_move(old: Wide, best: NDArray[np.intp], query: Wide, gallery: Wide) -> NDArray[np.bool_]:
    """Whether every other match is farther than the best one by more than all of them moved."""
    rows = np.arange(len(old))
    nearest = old[rows, best] + gallery[best] + 2 * query
    others = old - gallery
    others[rows, best] = np.inf
    return np.asarray(others.min(axis=1) > nearest + _SLACK)


def _query_moves(
    old: Wide, best: NDArray[np.intp], query: Wide, gallery: Wide
) -> NDArray[np.bool_]:
    """Whether every plane half way between the best match and another is farther from the query
    than it moved: (d^2 - d_best^2) / (2 |g - g_best|)."""
    rows = np.arange(len(old))
    apart = _distances(gallery[best], gallery, None)
    squares = old**2 - (old[rows, best] ** 2)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        plane = np.where(apart > _SLACK, squares / (2 * apart), 0.0)
    plane[~np.isfinite(squares)] = np.inf  # the query itself
    plane[rows, best] = np.inf
    return np.asarray(plane.min(axis=1) > query + _SLACK)
