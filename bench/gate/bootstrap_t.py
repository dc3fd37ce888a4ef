"""Bounds of a drop in mAP: the bootstrap-t over people, and one person more.

B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, section 12.5, on the ratio
estimator sum(differences) / sum(queries). Unlike the percentile interval it nearly keeps its level
where few people are hurt much and most not at all. What it still lacks there comes from people like
the worst who happen not to have been met; so the upper bound is that of the people seen and once
more the one who lost most, the lower bound that of the people seen and once more the one who gained
most (``benchmarks/gate_errors.py`` tells the rates).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, isinf

import numpy as np

from edgereid.bench.gate.pairs import Floats, Pairs

RESAMPLES = 10_000
_CHUNK = 2**21  # draws x people at a time: 16 MiB


def draws(people: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """How often each person is drawn: arrays (some, people) whose rows sum to ``people``, together
    ``resamples`` rows."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // people)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        who = rng.integers(0, people, size=(rows, people)) + people * np.arange(rows)[:, None]
        counted = np.bincount(who.ravel(), minlength=rows * people)
        yield counted.reshape(rows, people).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """Where the true drop may lie: ``drop - t * error``, ``t`` by its bootstrap distribution."""

    drop: float
    error: float
    t: Floats

    def at_least(self, level: float) -> float:
        """The drop is below this with error rate ``level``."""
        return self.drop - float(np.quantile(self.t, 1 - level, method="higher")) * self.error

    def at_most(self, level: float) -> float:
        """The drop is above this with error rate ``level``."""
        return self.drop - float(np.quantile(self.t, level, method="lower")) * self.error


def laws(pairs: Pairs, drawn: Sequence[Floats] | None = None) -> tuple[Law, Law]:
    """The laws that the lower and the upper bound are taken from.

    ``drawn``: what ``draws`` gives for one person more than ``pairs`` has; None: drawn here.
    """
    rest = pairs.sums - pairs.drop * pairs.counts
    if not (np.abs(rest) > 1e-12).any():
        certain = Law(pairs.drop, 0.0, np.zeros(1))
        return certain, certain
    return _law(pairs, int(rest.argmin()), drawn), _law(pairs, int(rest.argmax()), drawn)


def _law(pairs: Pairs, again: int, drawn: Sequence[Floats] | None) -> Law:
    """The law when the person at ``again`` is there twice."""
    more = Pairs(
        np.append(pairs.sums, pairs.sums[again]), np.append(pairs.counts, pairs.counts[again])
    )
    times = draws(more.people) if drawn is None else drawn
    return Law(
        more.drop, more.error(), np.concatenate([_studentised(more, some) for some in times])
    )


def bounds(pairs: Pairs, pass_level: float, fail_level: float) -> tuple[float, float]:
    """The lower bound of error rate ``fail_level`` and the upper one of ``pass_level``, in 0..1.

    Both are the drop itself when nobody differs from the mean, and infinite when too few people
    differ for a spread to be known.
    """
    below, above = laws(pairs)
    return below.at_least(fail_level), above.at_most(pass_level)


def _studentised(pairs: Pairs, times: Floats) -> Floats:
    """(drop* - drop) / error* of every draw. A draw whose error* is 0 (nobody who differs was
    drawn) counts as infinitely far off: these people cannot tell how far it is."""
    sums, counts, n, drop = pairs.sums, pairs.counts, pairs.people, pairs.drop
    columns = np.stack([sums, counts, sums**2, sums * counts, counts**2], axis=1)
    s, c, ss, sc, cc = (times @ columns).T
    mean = s / c
    squares = np.maximum(ss - 2 * mean * sc + mean**2 * cc, 0.0)
    error = np.sqrt(squares * n / (n - 1)) / c
    away = mean - drop
    smallest = 1e-9 * float(np.abs(sums).max()) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > smallest, away / error, np.sign(away) * np.inf)
    return np.where(np.isnan(t), 0.0, t)


def needed(pairs: Pairs, low: float, high: float, budget: float) -> int | None:
    """People at which the bound that matters would meet ``budget``: its distance from the drop
    shrinks with the square root of their number. None: no number would."""
    distance = high - pairs.drop if pairs.drop <= budget else pairs.drop - low
    gap = abs(budget - pairs.drop)
    if gap == 0 or isinf(distance):
        return None
    return ceil(pairs.people * (distance / gap) ** 2)
