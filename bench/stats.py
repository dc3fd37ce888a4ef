"""Statistics of latency samples: what the sample supports and nothing more.

A tail percentile p is reported from at least ``10 / (1 - p)`` samples, so that ten of them lie
beyond it: p90 from 100, p95 from 200, p99 from 1,000. The median is always given, with the count.
Every percentile has a 95 % interval. Nothing is trimmed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.intervals import Interval, percentile_interval
from edgereid.errors import InputError

TAIL_PERCENTILES = (90, 95, 99)
UNSTABLE_CV = 0.025  # above it a result is called unstable
RESAMPLES = 2000  # of a bootstrap over rounds, where one is needed
MIN_ROUNDS_FOR_INTERVAL = 8
#: Rounds with fewer samples are joined with their neighbours: the median of a few is biased.
MIN_SAMPLES_A_MEDIAN = 10


@dataclass(frozen=True, slots=True)
class Summary:
    """Latency of one engine at one batch size; milliseconds a batch, images a second.

    ``tail_ms`` holds the percentiles the sample supports, ``unsupported`` the number of samples
    each of the others would need. ``intervals_ms``: 95 % intervals of the median (key 50) and of
    the percentiles in ``tail_ms``; files of older versions have none.
    """

    count: int
    p50_ms: float
    tail_ms: dict[int, float]
    unsupported: dict[int, int]
    min_ms: float
    max_ms: float
    mean_ms: float
    cv: float | None
    images_per_s: float
    intervals_ms: dict[int, Interval] = field(default_factory=dict)

    @property
    def unstable(self) -> bool:
        return self.cv is not None and self.cv > UNSTABLE_CV


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as the reference, with a 95 % interval (None: too few rounds)."""

    value: float
    low: float | None
    high: float | None
    rounds: int


def samples_needed(percentile: int) -> int:
    """The samples that support a tail percentile: ``10 / (1 - p)``."""
    return math.ceil(1000 / (100 - percentile))


def summarise(samples_ns: Sequence[int], batch: int) -> Summary:
    """Summary of raw samples in nanoseconds; percentiles interpolate linearly between samples.

    Raises InputError when there is no sample.
    """
    if not len(samples_ns):
        raise InputError("no latency sample: nothing to summarise.")
    ms = np.asarray(samples_ns, dtype=np.float64) / 1e6
    n = len(ms)
    mean = float(ms.mean())
    tail = {p: float(np.percentile(ms, p)) for p in TAIL_PERCENTILES if n >= samples_needed(p)}
    return Summary(
        count=n,
        p50_ms=float(np.median(ms)),
        tail_ms=tail,
        unsupported={p: samples_needed(p) for p in TAIL_PERCENTILES if p not in tail},
        min_ms=float(ms.min()),
        max_ms=float(ms.max()),
        mean_ms=mean,
        cv=float(ms.std(ddof=1)) / mean if n > 1 and mean > 0 else None,
        images_per_s=1e3 * batch / mean if mean > 0 else 0.0,
        intervals_ms={p: percentile_interval(ms, p) for p in (50, *tail)},
    )


def round_ratios(
    reference: Sequence[Sequence[int]], candidate: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Per round: median time of the reference over the median time of the candidate."""
    if len(reference) != len(candidate) or not len(reference):
        raise InputError(
            f"{len(reference)} and {len(candidate)} rounds cannot be paired: the engines must have "
            "been alternated in one run."
        )
    medians = [(np.median(a), np.median(b)) for a, b in zip(reference, candidate, strict=True)]
    return np.array([a / max(b, 1.0) for a, b in medians], dtype=np.float64)


def _joined(
    reference: Sequence[Sequence[int]], candidate: Sequence[Sequence[int]]
) -> tuple[list[list[int]], list[list[int]]]:
    """The same neighbouring rounds of both joined, as far as enough rounds are left over."""
    rounds = len(reference)
    fewest = min(sum(map(len, reference)), sum(map(len, candidate)))
    wanted = max(MIN_ROUNDS_FOR_INTERVAL, min(rounds, fewest // MIN_SAMPLES_A_MEDIAN))
    edges = [i * rounds // wanted for i in range(wanted + 1)]
    first, second = (
        [[x for block in blocks[a:b] for x in block] for a, b in pairwise(edges)]
        for blocks in (reference, candidate)
    )
    return first, second


def speed_ratio(reference: Sequence[Sequence[int]], candidate: Sequence[Sequence[int]]) -> Ratio:
    """Median over the rounds of the per-round ratio of medians, and its 95 % interval by order
    statistics (``percentile_interval``), whatever the law: the range of all rounds where they
    depend on each other so much that they are worth fewer than six.

    Both took turns in the same rounds, so slow drift of the machine cancels. Raises InputError
    when the rounds do not pair up.
    """
    rounds = len(round_ratios(reference, candidate))
    if rounds < MIN_ROUNDS_FOR_INTERVAL:
        return Ratio(float(np.median(round_ratios(reference, candidate))), None, None, rounds)
    ratios = round_ratios(*_joined(reference, candidate))
    interval = percentile_interval(ratios, 50)
    low = float(ratios.min()) if interval.low is None else interval.low
    high = float(ratios.max()) if interval.high is None else interval.high
    return Ratio(float(np.median(ratios)), low, high, rounds)
