"""Intervals against laws whose true values are known: they cover them as often as they say.

Time is simulated: each run draws its latencies from the law and goes through the harness.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.bench.intervals import Interval, percentile_interval
from edgereid.bench.latency import LatencyOptions, Runner, Samples, measure
from edgereid.bench.stats import speed_ratio, summarise

RUNS = 100
ENOUGH = 95  # of the runs must cover the truth
NAMES = ("lognormal", "exponential", "bimodal")
PAIRS = list(itertools.combinations_with_replacement(NAMES, 2))
OPTIONS = LatencyOptions(
    warmup_s=0.0, warmup_runs=2, min_time_s=0.0, min_count=1000, min_rounds=20, max_time_s=1e4
)


def _measured(laws: Any, names: list[str], seed: int, factor: float = 1.0) -> list[Samples]:
    """Engines of these laws in the harness; the second is ``factor`` times as slow as its law."""
    timeline = laws.timeline()
    runners = []
    for k, name in enumerate(names):
        generator = np.random.default_rng((seed, k))
        ms = laws.by_name[name].draw(generator, (4000,)) * (factor if k else 1.0)
        times = itertools.cycle((1e6 * ms).astype(np.int64).tolist())

        def run(buffer: int, times: Any = times) -> None:
            timeline.now += next(times)

        runners.append(Runner(name, run, [0]))
    return measure(runners, OPTIONS, timeline)


@pytest.mark.parametrize("name", NAMES)
def test_percentiles_lie_within_their_intervals_in_95_of_100_runs(laws: Any, name: str) -> None:
    covered = dict.fromkeys((50, 90, 95, 99), 0)
    for seed in range(RUNS):
        (samples,) = _measured(laws, [name], seed)
        summary = summarise(samples.all_ns, 1)
        assert set(summary.intervals_ms) == set(covered)
        for p in covered:
            truth = laws.by_name[name].quantile(p / 100)
            covered[p] += _within(summary.intervals_ms[p], truth)
    assert min(covered.values()) >= ENOUGH, covered


def _within(interval: Interval, truth: float) -> bool:
    above = interval.low is None or interval.low <= truth
    return above and (interval.high is None or truth <= interval.high)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_the_ratio_of_two_engines_lies_within_its_interval_in_95_of_100_runs(
    laws: Any, pair: tuple[str, str]
) -> None:
    first, second = (laws.by_name[name].quantile(0.5) for name in pair)
    truth = first / (1.7 * second)
    covered = 0
    for seed in range(RUNS):
        a, b = _measured(laws, list(pair), seed, factor=1.7)
        ratio = speed_ratio(a.rounds_ns, b.rounds_ns)
        assert ratio.low is not None
        assert ratio.high is not None
        covered += ratio.low <= truth <= ratio.high
    assert covered >= ENOUGH


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_the_ratio_of_slow_engines_with_few_runs_a_round_is_covered_as_well(
    laws: Any, runs: int
) -> None:
    a, b = laws.by_name["exponential"], laws.by_name["lognormal"]
    truth = a.quantile(0.5) / b.quantile(0.5)
    covered = 0
    for seed in range(RUNS):
        generator = np.random.default_rng(seed)
        size = (120 // runs, runs)
        first, second = ((1e6 * law.draw(generator, size)).astype(int).tolist() for law in (a, b))
        ratio = speed_ratio(first, second)
        covered += ratio.low is not None and ratio.low <= truth <= (ratio.high or 0.0)
    assert covered >= ENOUGH


def _drifting(generator: np.random.Generator, count: int, memory: float) -> NDArray[np.float64]:
    """Normal values of which each remembers ``memory`` of the one before."""
    steps = generator.normal(0, np.sqrt(1 - memory**2), count)
    values = np.empty(count)
    values[0] = generator.normal()
    for i in range(1, count):
        values[i] = memory * values[i - 1] + steps[i]
    return values


@pytest.mark.parametrize(("percentile", "truth"), [(50, 0.0), (90, 1.2815515655)])
def test_correlated_samples_are_covered_where_the_plain_binomial_interval_is_not(
    percentile: int, truth: float
) -> None:
    covered, naive = 0, 0
    for seed in range(RUNS):
        values = _drifting(np.random.default_rng(seed), 1000, 0.9)
        ours = percentile_interval(values, percentile)
        plain = percentile_interval(values, percentile, groupings=())
        covered += _within(ours, truth)
        naive += _within(plain, truth)
    assert covered >= 92
    assert naive < 70
