"""The paired bootstrap over identities."""

from __future__ import annotations

import numpy as np
import pytest

from edgereid.bench.bootstrap import paired_drop
from edgereid.errors import InputError


def test_the_drop_is_the_difference_of_the_means_in_points() -> None:
    drop = paired_drop([0.5, 0.7, 0.9, 0.3], [0.4, 0.7, 0.8, 0.3], [1, 1, 2, 3])
    assert drop.points == pytest.approx(5.0)
    assert drop.low <= 5.0 <= drop.high
    assert (drop.queries, drop.identities) == (4, 3)


def test_an_engine_does_not_differ_from_itself() -> None:
    ap = np.random.default_rng(0).random(60)
    drop = paired_drop(ap, ap, np.arange(60) // 4)
    assert (drop.points, drop.low, drop.high) == (0.0, 0.0, 0.0)


def test_the_same_drop_everywhere_leaves_no_doubt() -> None:
    ap = np.random.default_rng(0).random(60)
    drop = paired_drop(ap + 0.01, ap, np.arange(60) // 4)
    assert (drop.points, drop.low, drop.high) == (pytest.approx(1),) * 3


def test_the_order_of_queries_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    a, b, pids = rng.random(80), rng.random(80), rng.integers(0, 20, 80)
    order = rng.permutation(80)
    one, other = paired_drop(a, b, pids), paired_drop(a[order], b[order], pids[order])
    assert (one.low, one.high) == (pytest.approx(other.low), pytest.approx(other.high))


def test_repeating_each_query_of_a_person_adds_no_certainty() -> None:
    rng = np.random.default_rng(2)
    difference = rng.normal(0, 0.05, 50)
    once = paired_drop(difference, np.zeros(50), np.arange(50))
    four = paired_drop(np.repeat(difference, 4), np.zeros(200), np.repeat(np.arange(50), 4))
    assert four.high - four.low == pytest.approx(once.high - once.low)


def test_the_interval_has_the_width_of_the_normal_law_for_many_persons() -> None:
    rng = np.random.default_rng(4)
    difference = rng.normal(0.0, 0.04, 2000)
    drop = paired_drop(difference, np.zeros(2000), np.arange(2000), resamples=1500)
    half = 1.96 * 100 * difference.std() / np.sqrt(2000)
    assert drop.high - drop.points == pytest.approx(half, rel=0.1)
    assert drop.points - drop.low == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize(
    ("a", "b", "pids"), [([0.1], [0.1, 0.2], [1]), ([0.1, 0.2], [0.1, 0.2], [1]), ([], [], [])]
)
def test_queries_that_do_not_pair_up_are_refused(
    a: list[float], b: list[float], pids: list[int]
) -> None:
    with pytest.raises(InputError, match="do not pair up"):
        paired_drop(a, b, pids)
