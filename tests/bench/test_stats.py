"""Statistics against NumPy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.stats import (
    TAIL_PERCENTILES,
    round_ratios,
    samples_needed,
    speed_ratio,
    summarise,
)
from edgereid.errors import InputError

times_ns = st.lists(st.integers(1_000, 10**10), min_size=1, max_size=300)


@pytest.mark.parametrize(("percentile", "needed"), [(90, 100), (95, 200), (99, 1000)])
def test_a_tail_percentile_needs_ten_samples_beyond_it(percentile: int, needed: int) -> None:
    assert samples_needed(percentile) == needed


@pytest.mark.parametrize("count", [1, 99, 100, 199, 200, 999, 1000, 1500])
def test_unsupported_percentiles_are_absent_and_named(count: int) -> None:
    summary = summarise([1_000_000] * count, 1)
    assert set(summary.tail_ms) == {p for p in TAIL_PERCENTILES if count >= samples_needed(p)}
    assert summary.unsupported == {
        p: samples_needed(p) for p in TAIL_PERCENTILES if count < samples_needed(p)
    }


def test_the_summary_agrees_with_numpy_and_trims_nothing() -> None:
    samples = np.random.default_rng(0).lognormal(16, 0.7, size=1200).astype(int)
    samples[7] = 10 * samples.max()  # an outlier stays in
    summary = summarise(samples.tolist(), 16)
    ms = samples / 1e6
    assert summary.p50_ms == pytest.approx(np.percentile(ms, 50))
    for p in TAIL_PERCENTILES:
        assert summary.tail_ms[p] == pytest.approx(np.percentile(ms, p))
    assert summary.max_ms == pytest.approx(ms.max())
    assert summary.min_ms == pytest.approx(ms.min())
    assert summary.mean_ms == pytest.approx(ms.mean())
    assert summary.cv == pytest.approx(np.std(ms, ddof=1) / np.mean(ms))
    assert summary.images_per_s == pytest.approx(16 * 1200 / (samples.sum() / 1e9))


@given(times_ns, st.integers(2, 9))
def test_a_machine_k_times_as_slow_shows_k_times_the_times(samples: list[int], k: int) -> None:
    one, slow = summarise(samples, 4), summarise([k * s for s in samples], 4)
    assert slow.p50_ms == pytest.approx(k * one.p50_ms)
    assert slow.images_per_s == pytest.approx(one.images_per_s / k)
    assert slow.cv == (None if one.cv is None else pytest.approx(one.cv, abs=1e-9))


def test_a_spread_above_a_fortieth_is_called_unstable() -> None:
    assert summarise([1000, 1100, 1000, 1100], 1).unstable
    assert not summarise([1000, 1010, 1000, 1010], 1).unstable
    assert not summarise([1000], 1).unstable


def test_no_sample_is_an_error() -> None:
    with pytest.raises(InputError, match="no latency sample"):
        summarise([], 1)


def test_the_ratio_is_paired_by_round_so_that_drift_cancels() -> None:
    drift = [1.0, 1.5, 2.0, 3.0] * 3  # the machine slows down threefold and recovers
    reference = [[int(3e7 * d)] * 4 for d in drift]
    candidate = [[int(1e7 * d)] * 4 for d in drift]
    ratio = speed_ratio(reference, candidate)
    assert ratio.value == pytest.approx(3.0)
    assert ratio.low == pytest.approx(3.0)
    assert ratio.high == pytest.approx(3.0)


def test_the_ratio_is_the_median_of_ratios_of_medians() -> None:
    reference = [[10, 30, 20], [40, 40, 40], [90, 90, 90]]
    candidate = [[10, 10, 99], [10, 10, 10], [10, 10, 10]]
    assert round_ratios(reference, candidate).tolist() == [2.0, 4.0, 9.0]
    assert speed_ratio(reference, candidate).value == 4.0


def test_few_rounds_give_a_ratio_without_an_interval() -> None:
    ratio = speed_ratio([[20]] * 7, [[10]] * 7)
    assert (ratio.value, ratio.low, ratio.high, ratio.rounds) == (2.0, None, None, 7)


def test_the_interval_of_the_ratio_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        a = (2e6 * rng.lognormal(0, 0.2, size=(40, 1))).astype(int)
        b = (1e6 * rng.lognormal(0, 0.2, size=(40, 1))).astype(int)
        ratio = speed_ratio(a.tolist(), b.tolist())
        assert ratio.low is not None
        assert ratio.high is not None
        covered += ratio.low <= 2.0 <= ratio.high
    assert covered >= 182  # 95 % of 200 is 190; 182 is 2.6 standard deviations below


def test_rounds_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be paired"):
        speed_ratio([[1]] * 3, [[1]] * 4)


def test_rounds_that_depend_on_each_other_give_a_wider_interval() -> None:
    steps = [1.0] * 12 + [2.0] * 12  # the candidate became twice as fast half-way
    ratio = speed_ratio([[int(1e7 * s)] * 10 for s in steps], [[10_000_000] * 10] * 24)
    assert (ratio.low, ratio.high) == (1.0, 2.0)


def test_rounds_of_few_samples_are_joined_so_that_their_medians_mean_something() -> None:
    draws = np.random.default_rng(0).exponential(1e7, size=(2000, 2)).astype(int)
    ratio = speed_ratio(draws.tolist(), [[10_000_000] * 2] * 2000)
    assert ratio.rounds == 2000
    assert ratio.value == pytest.approx(np.log(2), rel=0.08)  # of medians of two: 0.839
