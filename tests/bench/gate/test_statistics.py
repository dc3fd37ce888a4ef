"""Bounds against closed forms, naive loops and simulated truths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.bench.gate import bootstrap_t, least_favourable
from edgereid.bench.gate.pairs import Pairs, pair
from edgereid.bench.gate.statistics import Levels, decide_map, decide_rank1
from edgereid.errors import InputError

stats = pytest.importorskip("scipy.stats")
LEVELS = Levels(0.05, 0.05)


def singles(lost: int, people: int, gained: int = 0) -> Pairs:
    """People of one query each."""
    sums = np.zeros(people)
    sums[:lost] = 1
    sums[lost : lost + gained] = -1
    return Pairs(sums, np.ones(people))


def test_pairs_are_summed_by_person_whatever_their_order() -> None:
    found = pair([0.5, 0.7, 0.9, 0.3], [0.4, 0.7, 0.6, 0.3], [7, 3, 7, 5])
    assert found.sums == pytest.approx([0.0, 0.0, 0.4])
    assert found.counts.tolist() == [1, 1, 2]
    assert found.drop == pytest.approx(0.1)
    assert (found.people, found.queries) == (3, 4)


@pytest.mark.parametrize(
    ("a", "b", "pids", "text"),
    [
        ([0.1], [0.1, 0.2], [1], "pair up"),
        ([0.1, 0.2], [0.1, 0.2], [1], "pair up"),
        ([], [], [], "two people"),
        ([0.1, 0.2], [0.1, 0.2], [4, 4], "two people"),
        ([0.1, np.nan], [0.1, 0.2], [1, 2], "NaN"),
    ],
)
def test_queries_that_cannot_be_compared_are_refused(
    a: list[float], b: list[float], pids: list[int], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        pair(a, b, pids)


def test_the_standard_error_is_that_of_a_mean_where_everybody_has_one_query() -> None:
    values = np.random.default_rng(0).normal(size=50)
    found = pair(values, np.zeros(50), np.arange(50))
    assert found.error() == pytest.approx(values.std(ddof=1) / np.sqrt(50))


# Rank-1


@pytest.mark.parametrize("lost", [0, 1, 3, 8])
@pytest.mark.parametrize("budget", [0.02, 0.05, 0.2])
def test_losses_of_single_queries_give_the_exact_binomial_test(lost: int, budget: float) -> None:
    pairs = singles(lost, 100)
    expected = stats.binom.cdf(lost, 100, budget) if lost / 100 < budget else 1.0
    assert least_favourable.p_within(pairs, budget) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("lost", [3, 6, 9])
def test_proof_of_a_loss_is_the_exact_binomial_test_or_more_careful(lost: int) -> None:
    budget = 0.02
    exact = stats.binom.sf(lost - 1, 100, budget)
    found = least_favourable.p_beyond(singles(lost, 100), budget)
    assert found >= exact - 1e-9
    if lost / 100 <= 2 * budget * 0.9:  # where people who gain need not be assumed
        assert found == pytest.approx(exact, abs=1e-9)


def test_the_upper_bound_of_nothing_lost_is_clopper_and_pearsons() -> None:
    low, high = least_favourable.bounds(singles(0, 300), 0.05, 0.05)
    assert high == pytest.approx(1 - 0.05 ** (1 / 300), abs=2e-5)
    assert low == pytest.approx(-high, abs=2e-5)


def test_repeating_every_query_of_every_person_adds_no_certainty() -> None:
    once = singles(4, 200, 3)
    four = Pairs(4 * once.sums, 4 * once.counts)
    assert least_favourable.bounds(four, 0.05, 0.05) == pytest.approx(
        least_favourable.bounds(once, 0.05, 0.05), abs=2e-5
    )


def test_the_law_of_a_sum_is_that_of_counting_all_cases() -> None:
    support, law = np.array([-2.0, 0.0, 1.0, 5.0]), np.array([0.1, 0.6, 0.25, 0.05])
    exact: dict[int, float] = {0: 1.0}
    for _ in range(9):
        step: dict[int, float] = {}
        for total, chance in exact.items():
            for value, share in zip(support, law, strict=True):
                key = total + int(value)
                step[key] = step.get(key, 0.0) + chance * float(share)
        exact = step
    for bound in (-30, -18, -3, 0, 4, 20, 45, 60):
        expected = sum(chance for total, chance in exact.items() if total <= bound)
        got = least_favourable._tail(support, law, 9, bound)
        assert got == pytest.approx(expected, abs=1e-10)


@settings(deadline=None, max_examples=40)
@given(
    lost=st.integers(0, 12), gained=st.integers(0, 12), people=st.integers(30, 400),
    a=st.floats(0.001, 0.3), b=st.floats(0.001, 0.3),
)  # fmt: skip
def test_a_wider_budget_is_easier_to_keep_and_harder_to_break(
    lost: int, gained: int, people: int, a: float, b: float
) -> None:
    pairs, (narrow, wide) = singles(lost, people, gained), sorted((a, b))
    within = [least_favourable.p_within(pairs, r) for r in (narrow, wide)]
    beyond = [least_favourable.p_beyond(pairs, r) for r in (narrow, wide)]
    assert all(0 <= p <= 1 for p in (*within, *beyond))
    assert within[1] <= within[0] + 1e-9
    assert beyond[0] <= beyond[1] + 1e-9


@settings(deadline=None, max_examples=15)
@given(lost=st.integers(0, 9), gained=st.integers(0, 9), people=st.integers(40, 300))
def test_the_bounds_of_rank1_are_where_its_tests_turn(lost: int, gained: int, people: int) -> None:
    pairs = singles(lost, people, gained)
    low, high = least_favourable.bounds(pairs, 0.05, 0.01)
    assert low <= pairs.drop <= high
    assert least_favourable.p_within(pairs, high + 3e-5) <= 0.05
    assert least_favourable.p_within(pairs, high - 3e-5) > 0.05
    assert least_favourable.p_beyond(pairs, low - 3e-5) <= 0.01
    assert least_favourable.p_beyond(pairs, low + 3e-5) > 0.01


# mAP


def differences(people: int, seed: int, mean: float = 0.0) -> Pairs:
    rng = np.random.default_rng(seed)
    who = np.concatenate([np.arange(people), rng.integers(0, people, 2 * people)])
    values = rng.laplace(mean, 0.02, len(who)) + rng.normal(0, 0.01, people)[who]
    return pair(values, np.zeros(len(who)), who)


def test_the_bootstrap_t_is_that_of_a_loop_over_draws() -> None:
    pairs = differences(20, 1)
    drawn = list(bootstrap_t.draws(20, 50))
    times = np.concatenate(drawn)
    assert times.sum(axis=1).tolist() == [20.0] * 50
    for got, row in zip(bootstrap_t._studentised(pairs, times), times, strict=True):
        index = np.repeat(np.arange(20), row.astype(int))
        again = Pairs(pairs.sums[index], pairs.counts[index])
        assert got == pytest.approx((again.drop - pairs.drop) / again.error())


def test_the_bounds_of_many_alike_are_those_of_the_normal_law() -> None:
    pairs = differences(1500, 2)
    low, high = bootstrap_t.bounds(pairs, 0.05, 0.05)
    half = 1.645 * pairs.error()
    assert high - pairs.drop == pytest.approx(half, rel=0.15)
    assert pairs.drop - low == pytest.approx(half, rel=0.15)


def test_the_same_drop_everywhere_leaves_no_doubt() -> None:
    pairs = pair(np.full(60, 0.51), np.full(60, 0.5), np.arange(60) // 4)
    assert bootstrap_t.bounds(pairs, 0.05, 0.05) == pytest.approx((0.01, 0.01))


def test_one_person_who_differs_leaves_the_upper_bound_open() -> None:
    pairs = Pairs(np.array([0.5, *np.zeros(19)]), np.ones(20))
    low, _ = bootstrap_t.bounds(pairs, 0.05, 0.05)
    assert low == -np.inf or low < 0


# Verdicts


@pytest.mark.parametrize(
    ("pairs", "budget", "verdict"),
    [
        (singles(0, 800), 0.5, "pass"),
        (singles(0, 100), 0.5, "undecided"),
        (singles(0, 100), 5.0, "pass"),
        (singles(40, 800), 0.5, "fail"),
        (singles(4, 800), 0.5, "undecided"),
        (singles(40, 800, 40), 0.5, "undecided"),
    ],
)
def test_rank1_passes_fails_or_is_undecided(pairs: Pairs, budget: float, verdict: str) -> None:
    found = decide_rank1(pairs, budget, LEVELS)
    assert found.verdict == verdict
    assert (found.needed_identities is None) == (verdict != "undecided" or found.drop == budget)


@pytest.mark.parametrize(
    ("mean", "people", "verdict"),
    [(0.0, 700, "pass"), (0.02, 700, "fail"), (0.0, 10, "undecided"), (0.005, 700, "undecided")],
)
def test_map_passes_fails_or_is_undecided(mean: float, people: int, verdict: str) -> None:
    assert decide_map(differences(people, 3, mean), 0.5, LEVELS).verdict == verdict


@pytest.mark.parametrize("pairs", [singles(0, 100), singles(1, 200, 1), singles(7, 800)])
def test_the_number_that_is_named_settles_rank1_and_much_less_does_not(pairs: Pairs) -> None:
    found = decide_rank1(pairs, 0.5, LEVELS)
    assert found.verdict == "undecided"
    assert found.needed_identities is not None
    test = least_favourable.p_within if found.drop <= 0.5 else least_favourable.p_beyond
    assert test(pairs, 0.005, found.needed_identities) <= 0.05
    assert test(pairs, 0.005, int(0.8 * found.needed_identities)) > 0.05


def test_the_number_that_is_named_settles_map() -> None:
    pairs = differences(25, 4)
    found = decide_map(pairs, 0.5, LEVELS)
    assert found.verdict == "undecided"
    times = -(-(found.needed_identities or 0) // 25)
    assert times > 1
    more = Pairs(np.tile(pairs.sums, 2 * times), np.tile(pairs.counts, 2 * times))
    assert decide_map(more, 0.5, LEVELS).verdict != "undecided"


def test_a_drop_at_the_budget_is_settled_by_no_number() -> None:
    assert decide_rank1(singles(4, 800), 0.5, LEVELS).needed_identities is None


def test_rank1_hardly_ever_passes_by_chance_where_people_lose_all_their_queries() -> None:
    """The hardest case: at the budget, one person of 200 loses everything, the others nothing."""
    rng, runs, wrong = np.random.default_rng(0), 300, 0
    for _ in range(runs):
        counts = np.full(750, 4.0)
        pairs = Pairs(counts * (rng.random(750) < 0.005), counts)
        wrong += least_favourable.p_within(pairs, 0.005) <= 0.05
    assert wrong / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
