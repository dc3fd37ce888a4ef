"""Confidence intervals of percentiles and means that assume no law of latency.

A percentile's interval is made of order statistics: how many of n samples lie below the true
percentile is binomial, whatever the law (H. A. David and H. N. Nagaraja, "Order Statistics", 3rd
ed., 7.1). Samples taken one after the other are seldom independent, so n is replaced by an
effective number: the design effect is the variance of the share of samples beyond the percentile
between consecutive groups, over what independent samples would have, never taken below one and
widened for the number of groups (E. L. Korn and B. I. Graubard, "Confidence intervals for
proportions with small expected number of positive counts estimated from survey data", Survey
Methodology 24, 1998; inverted for percentiles as by R. S. Woodruff, "Confidence intervals for
medians and other position measures", JASA 47, 1952).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
#: Numbers of consecutive groups in which correlation is looked for; the worst counts.
GROUPINGS = (64, 32, 16, 8)
MIN_GROUP = 2


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits in the unit of the samples; None where the sample is too small for that limit.
    ``effective``: how many independent samples it is worth."""

    low: float | None
    high: float | None
    effective: int


def binomial_cdf(n: int, p: float) -> NDArray[np.float64]:
    """P(B <= k) for k = 0..n, B the number of successes in n trials of probability 0 < p < 1."""
    k = np.arange(n)
    steps = np.log((n - k) / (k + 1)) + math.log(p) - math.log1p(-p)
    log_mass = n * math.log1p(-p) + np.concatenate([[0.0], np.cumsum(steps)])
    cdf: NDArray[np.float64] = np.minimum(np.cumsum(np.exp(log_mass)), 1.0)
    return cdf


def order_ranks(n: int, p: float, tail: float) -> tuple[int | None, int | None]:
    """Ranks (from 1) of the samples between which the p-quantile lies, with a chance of at most
    ``tail`` that it is below the first, and as much that it is above the second. None: no rank."""
    low = int((binomial_cdf(n, p) <= tail).sum())
    high = n + 1 - int((binomial_cdf(n, 1 - p) <= tail).sum())
    return low or None, high if high <= n else None


def student_t(tail: float, freedom: int) -> float:
    """The value that Student's t exceeds with probability ``tail``, from 7 degrees of freedom on.

    Expansion about the normal quantile: M. Abramowitz and I. A. Stegun, 26.7.5.
    """
    x = float(-NormalDist().inv_cdf(tail))
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / freedom ** (i + 1) for i, term in enumerate(terms))


def design_effect(
    beyond: NDArray[np.bool_], tail: float, groupings: Sequence[int] = GROUPINGS
) -> float:
    """How many samples of this sequence are worth one independent sample, at least 1, for the share
    of True in ``beyond`` (n,). It is itself an estimate from few groups, and therefore widened as
    Student's t widens a normal interval at the tail probability ``tail``."""
    n, share = len(beyond), float(beyond.mean())
    worst = 1.0
    for groups in groupings:
        if n < MIN_GROUP * groups or share in (0.0, 1.0):
            continue
        edges = np.linspace(0, n, groups + 1).astype(int)
        sums = np.add.reduceat(beyond.astype(np.int64), edges[:-1])
        spread = sums - share * np.diff(edges)
        effect = groups / (groups - 1) * float(spread @ spread) / (n * share * (1 - share))
        widening = student_t(tail, groups - 1) / -NormalDist().inv_cdf(tail)
        worst = max(worst, effect * widening**2)
    return worst


def percentile_interval(
    samples: Sequence[int] | NDArray[np.float64],
    percentile: float,
    confidence: float = CONFIDENCE,
    groupings: Sequence[int] = GROUPINGS,
    least_effect: float = 1.0,
) -> Interval:
    """The interval of a percentile of the law that ``samples``, in order of time, were drawn from.

    Each limit errs with a probability of at most half of ``1 - confidence``. ``groupings``: numbers
    of consecutive groups, whose smallest must be so few that groups are nearly independent;
    ``least_effect``: a design effect that is known to be there.
    """
    values = np.asarray(samples, dtype=np.float64)
    n, p, tail = len(values), percentile / 100, (1 - confidence) / 2
    if n < 2:
        return Interval(None, None, n)
    ordered = np.sort(values)
    estimate = ordered[min(n - 1, math.ceil(p * n) - 1)]
    effect = max(least_effect, design_effect(values > estimate, tail, groupings))
    effective = max(1, math.floor(n / effect))
    low, high = order_ranks(effective, p, tail)
    return Interval(
        None if low is None else float(ordered[max(1, low * n // effective) - 1]),
        None if high is None else float(ordered[min(n, -(-high * n // effective)) - 1]),
        effective,
    )


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Student's interval of the mean of independent values, from 8 values on."""
    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    if n < 8:
        return Interval(None, None, n)
    half = student_t((1 - confidence) / 2, n - 1) * float(x.std(ddof=1)) / math.sqrt(n)
    mean = float(x.mean())
    return Interval(mean - half, mean + half, n)
