"""The sign-flip test against counting all patterns, and its error rate under noise."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgereid.bench.baseline.signflip import sign_flip


@given(st.lists(st.floats(-1, 1).filter(lambda v: abs(v) > 1e-3), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_few_persons_are_counted_exactly(differences: list[float]) -> None:
    n = len(differences)
    found = sign_flip(differences, [0.0] * n, list(range(n)))
    total = sum(differences)
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=n)
    ]
    assert found.p_drop == pytest.approx(np.mean([s >= total - 1e-9 for s in sums]))
    assert found.p_gain == pytest.approx(np.mean([s <= total + 1e-9 for s in sums]))


def test_many_persons_agree_with_scipys_permutation_test() -> None:
    d = np.random.default_rng(3).normal(0.02, 0.1, size=60)
    found = sign_flip(d, np.zeros(60), range(60))
    oracle = stats.permutation_test(
        (d,), np.sum, permutation_type="samples", alternative="greater", n_resamples=9999, rng=1
    )
    assert found.p_drop == pytest.approx(oracle.pvalue, abs=0.015)


def test_nothing_changed_is_no_evidence() -> None:
    found = sign_flip([0.5, 0.6], [0.5, 0.6], [1, 2])
    assert (found.p_drop, found.p_gain) == (1.0, 1.0)


def test_three_persons_can_never_prove_a_drop() -> None:
    found = sign_flip([0.9] * 12, [0.1] * 12, [1, 2, 3] * 4)
    assert found.p_drop == pytest.approx(1 / 8)


def test_repeating_each_query_of_a_person_adds_no_evidence() -> None:
    d = np.random.default_rng(5).normal(0.01, 0.05, size=40)
    once = sign_flip(d, np.zeros(40), range(40))
    four = sign_flip(np.repeat(d, 4), np.zeros(160), np.repeat(np.arange(40), 4))
    assert once == four


def test_noise_alone_is_called_a_drop_no_more_often_than_allowed() -> None:
    """Queries of a person move together: 4 queries each of 25 persons."""
    rng = np.random.default_rng(11)
    pids = np.repeat(np.arange(25), 4)
    flagged = 0
    for seed in range(250):
        d = np.repeat(rng.normal(0, 0.05, size=25), 4) + rng.normal(0, 0.02, size=100)
        flagged += sign_flip(d, np.zeros(100), pids, seed).p_drop <= 0.05
    assert flagged / 250 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 250)


def test_a_drop_of_most_persons_is_found() -> None:
    d = np.random.default_rng(2).normal(0.03, 0.05, size=100)
    assert sign_flip(d, np.zeros(100), range(100)).p_drop < 0.001
