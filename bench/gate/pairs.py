"""Differences between two engines on the same queries, summed person by person.

Queries of one person are not independent: people are the units of every test here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Reference minus candidate of a per-query measure in 0..1: its sum over the queries of each
    person and their number, (people,) each."""

    sums: Floats
    counts: Floats

    @property
    def people(self) -> int:
        return len(self.sums)

    @property
    def queries(self) -> int:
        return int(self.counts.sum())

    @property
    def drop(self) -> float:
        """The mean over queries; positive: the candidate is worse."""
        return float(self.sums.sum() / self.counts.sum())

    def error(self) -> float:
        """The standard error of ``drop`` with people as the units (linearised ratio)."""
        n = self.people
        squares = float(np.square(self.sums - self.drop * self.counts).sum())
        return float(np.sqrt(squares * n / (n - 1)) / self.counts.sum())


def pair(
    reference: Sequence[float] | Floats,
    candidate: Sequence[float] | Floats,
    pids: Sequence[int] | NDArray[np.int64],
) -> Pairs:
    """Pair up two engines' values, one a query; ``pids``: the person of each query.

    Raises InputError when they do not fit together, are not finite, or are of one person only.
    """
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    people = np.asarray(pids)
    if a.ndim != 1 or a.shape != b.shape or a.shape != people.shape:
        raise InputError(
            f"the queries of the two engines do not pair up: {a.shape}, {b.shape}, {people.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("a query's measure is NaN or infinite: the engines cannot be compared.")
    _, who = np.unique(people, return_inverse=True)
    counts = np.bincount(who).astype(np.float64)
    if len(counts) < 2:
        raise InputError(f"queries of {len(counts)} person: at least two people are needed.")
    return Pairs(np.bincount(who, weights=a - b).astype(np.float64), counts)
