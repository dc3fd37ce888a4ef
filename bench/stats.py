"""Statistics of latency samples: what the sample supports and nothing more.

A tail percentile p is reported from at least ``10 / (1 - p)`` samples, so that ten of them lie
beyond it: p90 from 100, p95 from 200, p99 from 1,000. The median is always given, with the count.
Nothing is trimmed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError

TAIL_PERCENTILES = (90, 95, 99)
UNSTABLE_CV = 0.025  # above it a result is called unstable
RESAMPLES = 2000
MIN_ROUNDS_FOR_INTERVAL = 8


@dataclass(frozen=True, slots=True)
class Summary:
    """Latency of one engine at one batch size; milliseconds a batch, images a second.

    ``tail_ms`` holds the percentiles the sample supports, ``unsupported`` the number of samples
    each of the others would need.
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


def speed_ratio(
    reference: Sequence[Sequence[int]], candidate: Sequence[Sequence[int]], seed: int = 0
) -> Ratio:
    """Median over the rounds of the per-round ratio, and its 95 % percentile-bootstrap interval.

    Both took turns in the same rounds, so slow drift of the machine cancels. Raises InputError
    when the rounds do not pair up.
    """
    ratios = round_ratios(reference, candidate)
    value = float(np.median(ratios))
    if len(ratios) < MIN_ROUNDS_FOR_INTERVAL:
        return Ratio(value, None, None, len(ratios))
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(ratios), size=(RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[picks], axis=1), [2.5, 97.5])
    return Ratio(value, float(low), float(high), len(ratios))
