"""How sure a drop in mAP is: a paired bootstrap over identities.

Queries of one person are not independent, so people are drawn, not queries; both engines are
evaluated on the same draw, so what is common to both cancels (B. Efron and R. Tibshirani, "An
Introduction to the Bootstrap", 1993, chapters 6 and 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Drop:
    """Reference minus candidate, in points (hundredths); positive: the candidate is worse."""

    points: float
    low: float
    high: float
    queries: int
    identities: int


def paired_drop(
    reference: NDArray[np.float64] | Sequence[float],
    candidate: NDArray[np.float64] | Sequence[float],
    pids: NDArray[np.int64] | Sequence[int],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Drop:
    """Drop of the mean of a per-query measure (0..1) with its 95 % percentile interval.

    The three sequences have one entry a query. Raises InputError when they do not fit together.
    """
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    people = np.asarray(pids)
    if a.ndim != 1 or a.shape != b.shape or a.shape != people.shape or not len(a):
        raise InputError(
            f"the queries of the two engines do not pair up: {a.shape}, {b.shape}, {people.shape}."
        )
    _, who = np.unique(people, return_inverse=True)
    difference = 100.0 * (a - b)
    sums = np.bincount(who, weights=difference)  # (identities,)
    counts = np.bincount(who).astype(np.float64)
    n = len(sums)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=resamples)
    means = (draws @ sums) / (draws @ counts)  # (resamples,)
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return Drop(float(difference.mean()), float(low), float(high), len(a), n)
