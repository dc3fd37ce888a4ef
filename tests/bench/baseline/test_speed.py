"""Latency of runs at different times: error rate under noise, power, and what cancels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edgereid.bench.baseline.speed import Cost, cost, slowdown
from edgereid.errors import InputError

SIMULATIONS = 500


def judge(runs: Any, earlier: int, slower: float = 1.0) -> Any:
    history = [runs.rounds_of() for _ in range(earlier)]
    new = runs.rounds_of(slower)
    costs = [cost(r.engine_ns, r.reference_ns) for r in history]
    return slowdown(costs, cost(new.engine_ns, new.reference_ns))


@pytest.mark.parametrize("earlier", [3, 5, 12])
def test_noise_alone_is_called_slower_no_more_often_than_allowed(
    make_runs: Any, earlier: int
) -> None:
    runs = make_runs(np.random.default_rng(earlier))
    found = [judge(runs, earlier) for _ in range(SIMULATIONS)]
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / SIMULATIONS)
    assert np.mean([f.p_slower <= 0.05 for f in found]) <= allowed
    assert np.mean([f.p_faster <= 0.05 for f in found]) <= allowed


def test_the_error_rate_is_not_far_below_the_allowed_one_either(make_runs: Any) -> None:
    """Otherwise the test would be blind: noise between runs well above that within them."""
    runs = make_runs(np.random.default_rng(0), between=0.03, within=0.01)
    found = [judge(runs, 8).p_slower <= 0.05 for _ in range(SIMULATIONS)]
    assert np.mean(found) >= 0.03


@pytest.mark.parametrize(("earlier", "power"), [(3, 0.8), (6, 0.99)])
def test_a_slowdown_of_ten_percent_is_found(make_runs: Any, earlier: int, power: float) -> None:
    runs = make_runs(np.random.default_rng(1))
    found = [judge(runs, earlier, 1.10) for _ in range(150)]
    assert np.mean([f.p_slower <= 0.05 for f in found]) >= power
    assert np.median([f.value for f in found]) == pytest.approx(math.log(1.10), abs=0.005)


def test_a_run_measured_briefly_brings_its_own_noise(make_runs: Any) -> None:
    """Three rounds against histories of many: its noise must not be taken for a change."""
    rng = np.random.default_rng(4)
    long = make_runs(rng, between=0.002, within=0.05, rounds=200)
    brief = make_runs(rng, between=0.002, within=0.05, rounds=8)
    flagged = 0
    for _ in range(250):
        costs = [cost(r.engine_ns, r.reference_ns) for r in (long.rounds_of() for _ in range(10))]
        new = brief.rounds_of()
        flagged += slowdown(costs, cost(new.engine_ns, new.reference_ns)).p_slower <= 0.05
    assert flagged / 250 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 250)


def test_a_machine_half_as_fast_changes_nothing() -> None:
    engine, reference = (100, 104, 98, 101), (200, 203, 199, 204)
    slow = cost([2 * v for v in engine], [2 * v for v in reference])
    assert slow.value == pytest.approx(cost(engine, reference).value)


def test_the_interval_is_the_prediction_interval_of_the_textbook() -> None:
    """n = 4, s known: Hahn and Meeker's mean +- t(0.975; 3) s sqrt(1 + 1/4)."""
    values = [0.10, 0.12, 0.08, 0.10]
    found = slowdown([Cost(v, 0.0) for v in values], Cost(0.20, 0.0))
    half = 3.182446 * np.std(values, ddof=1) * math.sqrt(1.25)
    low, high = found.interval(0.95)
    assert (low, high) == (
        pytest.approx(0.10 - half, rel=1e-5),
        pytest.approx(0.10 + half, rel=1e-5),
    )


def test_runs_that_agree_by_chance_do_not_make_a_hair_a_change() -> None:
    same = [Cost(0.1, 0.0)] * 5
    assert slowdown(same, Cost(0.1005, 0.0)).p_slower > 0.2
    assert slowdown(same, Cost(0.2, 0.0)).p_slower < 0.001


@pytest.mark.parametrize(("a", "b"), [((1, 2), (1, 2)), ((1, 2, 3), (1, 2, 3, 4)), ((), ())])
def test_rounds_that_cannot_be_compared_are_refused(a: Any, b: Any) -> None:
    with pytest.raises(InputError, match="rounds"):
        cost(a, b)


def test_two_runs_do_not_tell_the_noise_between_runs() -> None:
    with pytest.raises(InputError, match="3 are needed"):
        slowdown([Cost(0.1, 0.0)] * 2, Cost(0.1, 0.0))
