"""The whole comparison: families of questions, their error rate, and what is found."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.bench.baseline.findings import (
    BETTER,
    NOISE,
    UNCHANGED,
    UNKNOWN,
    WORSE,
    accuracy_findings,
    holm,
    judged,
    latency_findings,
)

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.01, 0.2))
def test_holm_is_bonferroni_on_the_smallest_and_then_on_the_rest(
    p_values: list[float], alpha: float
) -> None:
    """The procedure as its paper words it: take out the smallest, begin again with the rest."""
    rejected, rest = set[int](), list(range(len(p_values)))
    while rest:
        smallest = min(rest, key=lambda i: p_values[i])
        if p_values[smallest] > alpha / len(rest):
            break
        rejected.add(smallest)
        rest.remove(smallest)
    assert holm(p_values, alpha) == [i in rejected for i in range(len(p_values))]


def outcomes(history: list[Any], new: Any) -> dict[str, str]:
    return {f.measure: f.outcome for f in judged(latency_findings(history, new))}


def test_noise_alone_makes_no_comparison_of_many_worse_more_often_than_allowed(
    make_runs: Any,
) -> None:
    runs = make_runs(np.random.default_rng(3))
    count, flagged = 200, 0
    for _ in range(count):
        history = [runs.record(batches=BATCHES) for _ in range(4)]
        flagged += WORSE in outcomes(history, runs.record(batches=BATCHES)).values()
    assert flagged / count <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)


def test_a_slowdown_of_ten_percent_is_found_at_every_batch_size(make_runs: Any) -> None:
    runs = make_runs(np.random.default_rng(5))
    found = []
    for _ in range(30):
        history = [runs.record(batches=BATCHES) for _ in range(8)]
        found += outcomes(history, runs.record(slower=1.10, batches=BATCHES)).values()
    assert np.mean([o == WORSE for o in found]) >= 0.95
    assert BETTER not in found


def test_an_engine_that_became_faster_is_better(runs: Any) -> None:
    history = [runs.record() for _ in range(8)]
    assert outcomes(history, runs.record(slower=0.8)) == {"latency, batch 1": BETTER}


@pytest.mark.parametrize("earlier", [1, 2])
def test_with_fewer_than_three_runs_the_noise_is_not_known(runs: Any, earlier: int) -> None:
    history = [runs.record() for _ in range(earlier)]
    (found,) = judged(latency_findings(history, runs.record(slower=3.0)))
    assert found.outcome == UNKNOWN
    assert f"{earlier} of 3 earlier runs" in found.why
    assert found.change == pytest.approx(200, abs=30)  # shown, not judged
    assert (found.low, found.p_worse) == (None, None)


def test_runs_beside_another_reference_do_not_count(runs: Any, other_reference: Any) -> None:
    history = [replace(runs.record(), reference=other_reference) for _ in range(5)]
    assert latency_findings(history, runs.record()) == []


def test_percent_and_speed_are_those_of_the_rounds(make_runs: Any) -> None:
    runs = make_runs(np.random.default_rng(0), between=0.0, within=0.0)
    history = [runs.record() for _ in range(4)]
    (found,) = judged(latency_findings(history, runs.record(slower=1.25)))
    assert found.before == pytest.approx(2.0, rel=1e-3)
    assert found.now == pytest.approx(1.6, rel=1e-3)
    assert found.change == pytest.approx(25.0, rel=1e-2)


def test_found_from_is_where_a_slowdown_begins_to_be_one(runs: Any) -> None:
    """The same noise, moved by a little less and by a little more than that."""
    history, new = [runs.record() for _ in range(6)], runs.record()
    (first,) = judged(latency_findings(history, new))
    assert first.found_from is not None
    level = first.before / first.now  # the new run's time over the earlier ones'
    for factor, outcome in ((0.99, NOISE), (1.01, WORSE)):
        slower = (1 + factor * first.found_from / 100) / level
        rounds = new.latency[1]
        moved = replace(rounds, engine_ns=tuple(int(slower * v) for v in rounds.engine_ns))
        (found,) = judged(latency_findings(history, replace(new, latency={1: moved})))
        assert found.outcome == outcome


def test_accuracy_of_the_same_queries_is_compared_query_by_query(
    runs: Any, make_retrieval: Any
) -> None:
    before = runs.record(retrieval=make_retrieval())
    after = runs.record(retrieval=make_retrieval(drop=0.02, noise=0.01))
    mean_ap, rank1 = judged(accuracy_findings(before, after))
    assert (mean_ap.measure, mean_ap.outcome) == ("mAP", WORSE)
    assert mean_ap.change == pytest.approx(-2.0, abs=0.4)
    assert mean_ap.low is not None
    assert mean_ap.high is not None
    assert mean_ap.low <= mean_ap.change <= mean_ap.high < 0
    values = [r.retrieval.average_precision for r in (before, after)]
    assert mean_ap.before == pytest.approx(100 * np.mean(values[0]))
    assert mean_ap.now == pytest.approx(100 * np.mean(values[1]))
    share = np.mean([rank == 1 for rank in after.retrieval.first_match])
    assert rank1.now == pytest.approx(100 * share)


def test_noise_alone_makes_accuracy_worse_no_more_often_than_allowed(
    runs: Any, make_retrieval: Any
) -> None:
    before = runs.record(retrieval=make_retrieval())
    count = 80
    flagged = 0
    for seed in range(count):
        after = replace(before, retrieval=make_retrieval(noise=0.03, seed=seed + 10))
        flagged += WORSE in {f.outcome for f in judged(accuracy_findings(before, after))}
    assert flagged / count <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)


def test_the_same_accuracy_is_unchanged_and_takes_no_part_in_the_family(
    runs: Any, make_retrieval: Any
) -> None:
    history = [runs.record(retrieval=make_retrieval()) for _ in range(5)]
    new = runs.record(retrieval=make_retrieval())
    accuracy, latency = accuracy_findings(history[-1], new), latency_findings(history, new)
    assert {f.outcome for f in judged(accuracy)} == {UNCHANGED}
    assert judged([*accuracy, *latency])[-1] == judged(latency)[0]


def test_accuracy_on_other_queries_is_not_compared(runs: Any, make_retrieval: Any) -> None:
    one = runs.record(retrieval=make_retrieval())
    other = runs.record(retrieval=make_retrieval(persons=59))
    protocol = replace(one, retrieval=replace(make_retrieval(), protocol="multi-query"))
    assert accuracy_findings(one, other) == []
    assert accuracy_findings(one, protocol) == []
    assert accuracy_findings(one, runs.record()) == []
