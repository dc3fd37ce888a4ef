"""The server scenario against queueing theory, in simulated time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from edgereid.bench.scenarios.options import ServerOptions
from edgereid.bench.scenarios.predict import capacity, predict, service_times
from edgereid.bench.scenarios.queue import poisson_arrivals, serve
from edgereid.bench.scenarios.result import BREAKS, HOLDS, UNDECIDED, Trial
from edgereid.bench.scenarios.search import broke, held, next_rate, search
from edgereid.bench.scenarios.server import run_server
from edgereid.bench.scenarios.trial import (
    Bound,
    episode_effect,
    episodes,
    look_counts,
    run_trial,
    verify,
)

MS = 1_000_000


def _latencies(bench: Any, arrivals: list[int], looks: list[int]) -> list[list[int]]:
    found = serve(bench.submit, arrivals, looks, bench.max_batch, bench.clock, bench.wait)
    return [list(latencies) for latencies, _ in found]


def test_a_query_waits_for_those_before_it(laws: Any) -> None:
    bench, _ = laws.bench_of(laws.constant(10))
    (found,) = _latencies(bench, [0, 1 * MS, 2 * MS, 50 * MS], [4])
    assert found == [10 * MS, 19 * MS, 28 * MS, 10 * MS]


def test_a_batch_takes_whoever_waits_up_to_its_limit(laws: Any) -> None:
    bench, server = laws.bench_of(laws.constant(10), max_batch=2)
    (found,) = _latencies(bench, [0, 1 * MS, 2 * MS, 3 * MS, 60 * MS], [5])
    assert server.batches == [1, 2, 1, 1]
    assert found == [10 * MS, 19 * MS, 18 * MS, 27 * MS, 10 * MS]


def test_time_stands_still_for_the_queue_while_somebody_looks(laws: Any) -> None:
    bench, server = laws.bench_of(laws.constant(10))
    arrivals = [0, 1 * MS, 30 * MS]
    for latencies, _ in serve(bench.submit, arrivals, [1, 2, 3], 1, bench.clock, bench.wait):
        found = list(latencies)
        server.timeline.now += 500 * MS
    assert found == [10 * MS, 19 * MS, 10 * MS]


def test_arrivals_are_a_poisson_process() -> None:
    gaps = np.diff(poisson_arrivals(200.0, 20_000, (1, 2)), prepend=0) / 1e9
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 200, rel=0.03)
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.03
    assert poisson_arrivals(5.0, 9, (3,)) == poisson_arrivals(5.0, 9, (3,))


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_the_time_in_an_mm1_queue_has_its_closed_form(laws: Any, share: float) -> None:
    bench, _ = laws.bench_of(laws.exponential(10.0, 3))
    (found,) = _latencies(bench, poisson_arrivals(100 * share, 60_000, (1,)), [60_000])
    left = 100 - 100 * share
    for p in (0.5, 0.9, 0.99):
        assert np.quantile(found, p) / 1e9 == pytest.approx(-np.log(1 - p) / left, rel=0.1)


@pytest.mark.parametrize(
    ("queue", "percentile", "bound_ms"), [("mm1", 90, 60.0), ("md1", 90, 30.0)]
)
def test_the_rate_found_agrees_with_queueing_theory(
    laws: Any, queue: str, percentile: int, bound_ms: float
) -> None:
    covered, widths, runs = 0, [], 40
    for seed in range(runs):
        if queue == "mm1":
            truth = laws.mm1_rate(100.0, percentile, bound_ms)
            bench, _ = laws.bench_of(laws.exponential(10.0, seed))
        else:
            truth = laws.md1_rate(10.0, percentile, bound_ms)
            bench, _ = laws.bench_of(laws.constant(10.0))
        options = ServerOptions(bound_ms, percentile, trial_s=60, verify_s=30, seed=1000 * seed)
        found = run_server(bench, options)
        assert found.holds_at is not None
        assert found.breaks_at is not None
        covered += found.holds_at <= truth <= found.breaks_at
        widths.append((found.breaks_at - found.holds_at) / truth)
    assert covered >= 0.95 * runs
    assert np.median(widths) < 0.6


def test_the_rate_found_holds_its_bound_again(laws: Any) -> None:
    for seed in range(5):
        bench, _ = laws.bench_of(laws.exponential(10.0, seed))
        options = ServerOptions(60.0, 90, trial_s=60, verify_s=60, seed=seed)
        found = run_server(bench, options)
        assert found.rate_per_s is not None
        again = verify(bench, Bound(90, 60.0), found.rate_per_s, 60.0, 0.025, seed + 12345)
        assert again.quantile_ms is not None
        assert again.quantile_ms <= 60.0
        assert again.late <= 0.1 * again.count


def test_batching_raises_the_rate_of_a_server_whose_batches_cost_the_same(laws: Any) -> None:
    rates = []
    for max_batch in (1, 4):
        bench, _ = laws.bench_of(laws.constant(10.0), max_batch)
        options = ServerOptions(40.0, 90, max_batch, trial_s=30, verify_s=10)
        rates.append(run_server(bench, options).rate_per_s)
    assert rates[1] > 2 * rates[0]


def test_a_bound_below_the_service_time_is_held_at_no_rate(laws: Any) -> None:
    bench, _ = laws.bench_of(laws.constant(10.0))
    found = run_server(bench, ServerOptions(5.0, 90, trial_s=5, verify_s=5))
    assert found.rate_per_s is None
    assert found.holds_at is None
    assert found.breaks_at is not None
    assert found.verification == ()


def test_a_trial_far_beyond_the_capacity_breaks_at_its_first_look(laws: Any) -> None:
    bench, _ = laws.bench_of(laws.constant(10.0))
    trial = run_trial(bench, Bound(90, 50.0), 300.0, 1000.0, 0.01)
    assert trial.verdict == BREAKS
    assert trial.count == look_counts(Bound(90, 50.0), 300.0, 1000.0)[0]


def test_a_trial_too_short_to_tell_is_undecided_and_one_that_ends_early_states_no_percentile(
    laws: Any,
) -> None:
    bench, _ = laws.bench_of(laws.exponential(10.0, 0))
    trial = run_trial(bench, Bound(90, 50.0), 53.0, 2.0, 1e-6)
    assert trial.verdict == UNDECIDED
    assert trial.count == 2 * Bound(90, 50.0).samples_needed
    assert trial.quantile_ms is not None
    early = run_trial(bench, Bound(99, 1.0), 10.0, 2.0, 0.001)
    assert early.count < Bound(99, 1.0).samples_needed
    assert early.quantile_ms is None


def test_capacity_is_that_of_the_best_batch_and_warms_up_every_batch_size(laws: Any) -> None:
    bench, server = laws.bench_of(laws.constant(10.0), max_batch=3)
    times = service_times(bench)
    assert capacity(times) == pytest.approx(300.0)
    assert set(server.batches) == {1, 2, 3}


def test_the_first_guess_is_near_the_truth_for_constant_service(laws: Any) -> None:
    truth = laws.md1_rate(10.0, 90, 30.0)
    assert predict({1: [10 * MS]}, Bound(90, 30.0)) == pytest.approx(truth, rel=0.1)


def _trial(rate: float, verdict: str) -> Trial:
    return Trial(rate, verdict, 100, 0, None, None, None, 100, 1.0, 0, ())


def test_bisection_closes_in_on_a_threshold_from_any_guess() -> None:
    for truth, guess in itertools.product((30.0, 47.0, 400.0), (20.0, 50.0, 1000.0)):
        trials = search(
            lambda rate, _, truth=truth: _trial(rate, HOLDS if rate <= truth else BREAKS),
            guess, 0.02, 40,
        )  # fmt: skip
        low, high = held(trials), broke(trials)
        assert low is not None
        assert high is not None
        assert low <= truth <= high <= 1.02 * low


def test_bisection_narrows_both_sides_of_rates_that_cannot_be_told() -> None:
    def verdict(rate: float) -> str:
        return HOLDS if rate < 90 else BREAKS if rate > 110 else UNDECIDED

    trials = search(lambda rate, _: _trial(rate, verdict(rate)), 40.0, 0.03, 40)
    low, high = held(trials), broke(trials)
    assert low is not None
    assert high is not None
    assert 85 < low <= 90
    assert 110 <= high < 115
    assert next_rate(trials, 40.0, 0.03) is None


def test_a_rate_that_held_above_one_that_broke_does_not_count() -> None:
    trials = [_trial(50, HOLDS), _trial(60, BREAKS), _trial(70, HOLDS)]
    assert (held(trials), broke(trials)) == (50, 60)


def test_the_lengths_of_slow_episodes_give_their_design_effect() -> None:
    beyond = np.array([1, 1, 0, 0, 1, 0, 1, 1, 1], dtype=bool)
    assert episodes(beyond).tolist() == [2, 1, 3]
    assert episodes(~beyond).tolist() == [2, 1]
    assert episodes(np.zeros(3, dtype=bool)).tolist() == []
    many = np.full(10_000, 4)
    assert episode_effect(many, 0.025) == pytest.approx(4.0, rel=1e-3)
    assert episode_effect(many[:10], 0.025) > 5.0  # few episodes tell little about their kind
