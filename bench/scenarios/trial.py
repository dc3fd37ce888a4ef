"""A trial of the server: does it hold its latency bound at this rate of arrivals?

The verdict is by the interval of the percentile: it *holds* when the upper limit is within the
bound and *breaks* when the lower limit is above it. For independent latencies that is the binomial
test of the share of late queries; waiting times are not independent, and the interval counts them
as fewer (``edgereid.bench.intervals``); as ten samples must lie beyond a percentile, so must ten
episodes of slow queries. A trial is looked at several times, at doubling counts, and ends as soon
as it is settled; the limits are wide enough for all looks together.
"""

from __future__ import annotations

import gc
import math
import time
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.intervals import Interval, percentile_interval, student_t
from edgereid.bench.latency import Clock
from edgereid.bench.scenarios.queue import Submit, Wait, poisson_arrivals, serve, wait_until
from edgereid.bench.scenarios.result import BREAKS, HOLDS, UNDECIDED, Trial

#: The queue starts empty; queries of its first so many latency bounds are not counted.
LEAD_IN_BOUNDS = 20
#: No look at fewer queries than arrive in so many bounds: a queue forgets within a few of them, so
#: that a sixteenth of such a trial depends little on the sixteenth before.
LEAST_BOUNDS = 64
GROUPINGS = (64, 32, 16)
LEAST_EPISODES = 10
OVERLOAD = 0.5  # with so large a share late, the server is overloaded, however few the episodes
FIRST_LOOK_SHARE = 8  # of the samples that support the percentile
WORTH_WHILE = 2  # times those samples are always waited for: with fewer no rate can hold


@dataclass(frozen=True, slots=True)
class Bound:
    """``percentile`` of all queries must be answered within ``ms``."""

    percentile: int
    ms: float

    @property
    def samples_needed(self) -> int:
        """Samples that leave ten beyond the percentile."""
        return math.ceil(1000 / (100 - self.percentile))


@dataclass(frozen=True, slots=True)
class Bench:
    """The server under test with the clock it lives by."""

    submit: Submit
    max_batch: int = 1
    clock: Clock = time.perf_counter_ns
    wait: Wait = wait_until


def least_count(bound: Bound, rate_per_s: float) -> int:
    """The queries that arrive in ``LEAST_BOUNDS``."""
    return math.ceil(rate_per_s * LEAST_BOUNDS * bound.ms / 1e3)


def look_counts(bound: Bound, rate_per_s: float, seconds: float) -> list[int]:
    """Counts of queries at which a trial of ``seconds`` is looked at, doubling; longer when these
    are too few to tell."""
    longest = max(math.ceil(rate_per_s * seconds), WORTH_WHILE * bound.samples_needed)
    first = min(longest, bound.samples_needed // FIRST_LOOK_SHARE)
    counts = [max(least_count(bound, rate_per_s), first)]
    while 2 * counts[-1] <= longest:
        counts.append(2 * counts[-1])
    return [*counts[:-1], max(counts[-1], longest)]


def run_trial(
    bench: Bench, bound: Bound, rate_per_s: float, seconds: float, error: float, seed: int = 0
) -> Trial:
    """A trial of ``seconds`` of arrivals (or what a verdict needs), ended when it is settled.
    ``error``: the chance that its verdict, "holds" or "breaks", is wrong."""
    counts = look_counts(bound, rate_per_s, seconds)
    judge = partial(_trial, bound, rate_per_s, error=error / len(counts))
    return _run(bench, bound, rate_per_s, counts, judge, seed)


def verify(
    bench: Bench, bound: Bound, rate_per_s: float, seconds: float, error: float, seed: int = 0
) -> Trial:
    """A run over the whole of ``seconds``, looked at once."""
    least = max(bound.samples_needed, least_count(bound, rate_per_s))
    counts = [max(least, math.ceil(rate_per_s * seconds))]
    judge = partial(_trial, bound, rate_per_s, error=error)
    return _run(bench, bound, rate_per_s, counts, judge, seed)


def _run(
    bench: Bench,
    bound: Bound,
    rate_per_s: float,
    counts: list[int],
    judge: partial[Trial],
    seed: int,
) -> Trial:
    """Look at each of ``counts`` queries after the lead-in, until the verdict is settled."""
    lead_in = math.ceil(rate_per_s * LEAD_IN_BOUNDS * bound.ms / 1e3)
    # The seed differs from rate to rate, so that one unlucky draw does not taint all trials.
    arrivals = poisson_arrivals(rate_per_s, lead_in + counts[-1], (seed, int(1e6 * rate_per_s)))
    looks = [lead_in + count for count in counts]
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        served = serve(bench.submit, arrivals, looks, bench.max_batch, bench.clock, bench.wait)
        for latencies, batches in served:
            trial = judge(latencies, batches, lead_in)
            if trial.verdict != UNDECIDED:
                break
    finally:
        if collecting:
            gc.enable()
    return trial


def _trial(
    bound: Bound, rate_per_s: float, latencies: list[int], batches: int, lead_in: int, error: float
) -> Trial:
    ms = np.asarray(latencies[lead_in:], dtype=np.float64) / 1e6
    lengths = episodes(ms > np.percentile(ms, bound.percentile))
    confidence = 1 - 2 * error
    effect = episode_effect(lengths, error)
    interval = percentile_interval(ms, bound.percentile, confidence, GROUPINGS, effect)
    return Trial(
        rate_per_s=rate_per_s,
        verdict=_verdict(ms, bound, interval, len(lengths)),
        count=len(ms),
        late=int((ms > bound.ms).sum()),
        quantile_ms=(
            float(np.percentile(ms, bound.percentile)) if len(ms) >= bound.samples_needed else None
        ),
        low_ms=interval.low,
        high_ms=interval.high,
        effective=interval.effective,
        mean_batch=len(latencies) / batches,
        lead_in=lead_in,
        samples=tuple(latencies),
    )


def _verdict(ms: NDArray[np.float64], bound: Bound, interval: Interval, slow_episodes: int) -> str:
    if float((ms > bound.ms).mean()) >= OVERLOAD:
        return BREAKS
    if 0 < slow_episodes < LEAST_EPISODES:  # none: the slowest are all equal
        return UNDECIDED
    if interval.high is not None and interval.high <= bound.ms:
        return HOLDS
    if interval.low is not None and interval.low > bound.ms:
        return BREAKS
    return UNDECIDED


def episodes(beyond: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The lengths of the stretches of True in ``beyond`` (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], beyond, [False]]).astype(np.int8)))
    lengths: NDArray[np.int64] = edges[1::2] - edges[::2]
    return lengths


def episode_effect(lengths: NDArray[np.int64], tail: float) -> float:
    """The design effect if slow queries come in independent episodes of these lengths: the variance
    of a compound Poisson count over its mean, widened for the number of episodes."""
    if len(lengths) < LEAST_EPISODES:
        return 1.0
    effect = float((lengths**2).sum() / lengths.sum())
    widening = student_t(tail, len(lengths) - 1) / -NormalDist().inv_cdf(tail)
    return effect * widening**2
