"""Intervals against scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgereid.bench.intervals import (
    binomial_cdf,
    design_effect,
    mean_interval,
    order_ranks,
    percentile_interval,
    student_t,
)


@given(st.integers(1, 5000), st.floats(0.001, 0.999))
def test_the_binomial_distribution_is_scipys(n: int, p: float) -> None:
    ours, theirs = binomial_cdf(n, p), stats.binom.cdf(np.arange(n + 1), n, p)
    assert np.allclose(ours, theirs, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("freedom", [7, 11, 15, 31, 63, 500])
@pytest.mark.parametrize("tail", [0.1, 0.025, 0.005, 0.0005])
def test_students_t_is_scipys(freedom: int, tail: float) -> None:
    assert student_t(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=2e-3)


def test_the_ranks_of_the_median_of_ten_are_those_of_the_tables() -> None:
    assert order_ranks(10, 0.5, 0.025) == (2, 9)  # P = 0.979
    assert order_ranks(8, 0.5, 0.025) == (1, 8)  # P = 0.992
    assert order_ranks(5, 0.5, 0.025) == (None, None)


@given(st.integers(2, 3000), st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.floats(0.0005, 0.1))
def test_ranks_keep_to_the_tail_and_are_the_closest_that_do(n: int, p: float, tail: float) -> None:
    low, high = order_ranks(n, p, tail)
    if low is not None:
        assert stats.binom.cdf(low - 1, n, p) <= tail * (1 + 1e-6)
    assert stats.binom.cdf(low or 0, n, p) > tail * (1 - 1e-6)
    if high is not None:
        assert stats.binom.sf(high - 1, n, p) <= tail * (1 + 1e-6)
    assert stats.binom.sf((high or n + 1) - 2, n, p) > tail * (1 - 1e-6)


def test_a_limit_that_the_sample_does_not_support_is_absent() -> None:
    interval = percentile_interval(np.arange(100.0), 99)
    assert interval.low is not None
    assert interval.high is None
    assert percentile_interval([5], 50).low is None


def test_independent_samples_are_worth_most_of_their_number() -> None:
    generator = np.random.default_rng(0)
    worth = [percentile_interval(generator.normal(size=1000), 90).effective for _ in range(50)]
    assert 500 < np.mean(worth) <= 1000


def test_samples_that_come_in_groups_of_ten_are_worth_a_tenth() -> None:
    generator = np.random.default_rng(0)
    effects = [
        design_effect(np.repeat(generator.random(2000) < 0.1, 10), 0.025, groupings=(64,))
        for _ in range(50)
    ]
    assert np.mean(effects) == pytest.approx(10, rel=0.15)


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=200), st.integers(2, 9))
def test_limits_are_samples_and_scale_with_them(samples: list[int], k: int) -> None:
    one = percentile_interval(samples, 50)
    many = percentile_interval([k * s for s in samples], 50)
    for a, b in ((one.low, many.low), (one.high, many.high)):
        assert (a is None) == (b is None)
        if a is not None:
            assert int(a) in samples
            assert b == k * a


def test_constant_samples_have_an_interval_of_no_width() -> None:
    interval = percentile_interval([7] * 400, 90)
    assert (interval.low, interval.high) == (7.0, 7.0)


def test_the_interval_of_the_mean_is_scipys() -> None:
    x = np.random.default_rng(0).normal(5, 1, 12)
    ours = mean_interval(x.tolist())
    low, high = stats.t.interval(0.95, 11, loc=x.mean(), scale=stats.sem(x))
    assert (ours.low, ours.high) == (pytest.approx(low, rel=1e-4), pytest.approx(high, rel=1e-4))
    assert mean_interval([1.0] * 7).low is None
