"""Which runs count, what is said of those that do not, and the exit code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.baseline.compare import CompareOptions, compare
from edgereid.bench.baseline.report import text, verdict_line
from edgereid.bench.baseline.store import Store
from edgereid.errors import InputError, UsageError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "baselines")


def test_a_slower_engine_is_exit_code_1_and_named(runs: Any, store: Store) -> None:
    store.save(runs.record() for _ in range(6))
    found = compare([runs.record(slower=1.3)], store)
    assert (found.verdict, found.exit_code) == ("worse", 1)
    assert verdict_line(found).startswith("WORSE beyond noise: OpenVINO INT8, latency, batch 1: +")
    assert "worse" in text(found)


def test_no_change_is_exit_code_0(runs: Any, store: Store) -> None:
    store.save(runs.record() for _ in range(6))
    found = compare([runs.record()], store)
    assert (found.verdict, found.exit_code) == ("no change", 0)
    assert verdict_line(found) == "NO CHANGE beyond noise: 1 comparisons."


def test_an_improvement_is_exit_code_0_with_a_line(runs: Any, store: Store) -> None:
    store.save(runs.record() for _ in range(6))
    found = compare([runs.record(slower=0.7)], store)
    assert (found.verdict, found.exit_code) == ("better", 0)
    assert "Nothing is worse beyond noise" in verdict_line(found)


def test_the_first_run_of_all_passes_and_says_that_nothing_is_known(
    runs: Any, store: Store
) -> None:
    found = compare([runs.record()], store)
    assert (found.verdict, found.exit_code) == ("not known", 0)
    assert "no earlier run" in text(found)
    assert "NOT KNOWN" in text(found)


def test_two_earlier_runs_are_shown_and_not_judged(runs: Any, store: Store) -> None:
    store.save(runs.record() for _ in range(2))
    found = compare([runs.record(slower=2.0)], store)
    assert (found.verdict, found.exit_code) == ("not known", 0)
    assert "noise between runs is not known yet: 2 of 3 earlier runs" in text(found)


def test_the_run_itself_is_not_its_own_past(runs: Any, store: Store) -> None:
    records = [runs.record() for _ in range(3)]
    store.save(records)
    assert compare([records[-1]], store).findings[0].runs == 2


def test_after_a_wanted_change_earlier_runs_count_no_longer(runs: Any, store: Store) -> None:
    store.save(runs.record() for _ in range(5))
    store.save([replace(runs.record(slower=2.0), restart=True)])
    store.save(runs.record(slower=2.0) for _ in range(4))
    found = compare([runs.record(slower=2.0)], store)
    assert found.findings[0].runs == 5
    assert abs(found.findings[0].change) < 10


def test_only_the_newest_runs_count(runs: Any, store: Store) -> None:
    store.save(runs.record(slower=3.0) for _ in range(5))
    store.save(runs.record() for _ in range(4))
    found = compare([runs.record()], store, CompareOptions(last=4))
    assert (found.findings[0].runs, found.verdict) == (4, "no change")


def test_one_commit_may_be_the_only_one_that_counts(runs: Any, store: Store) -> None:
    store.save(runs.record(commit="aaaa1111") for _ in range(4))
    store.save(runs.record(slower=2.0, commit="bbbb2222") for _ in range(4))
    found = compare([runs.record(slower=2.0)], store, CompareOptions(against="aaaa"))
    assert found.commits == ("aaaa1111",)
    assert found.verdict == "worse"
    with pytest.raises(UsageError, match="cccc"):
        compare([runs.record()], store, CompareOptions(against="cccc"))


def test_accuracy_is_compared_with_the_newest_run_that_has_it(
    runs: Any, store: Store, make_retrieval: Any
) -> None:
    store.save([runs.record(retrieval=make_retrieval(drop=0.2))])
    store.save([runs.record(retrieval=make_retrieval())])
    store.save([runs.record()])
    found = compare([runs.record(retrieval=make_retrieval(drop=0.03, noise=0.01))], store)
    change = {f.measure: f.change for f in found.findings}
    assert change["mAP"] == pytest.approx(-3, abs=0.5)
    assert found.exit_code == 1


def test_what_is_not_compared_is_said(
    runs: Any, store: Store, make_retrieval: Any, other_reference: Any
) -> None:
    older = replace(runs.record(retrieval=make_retrieval()), reference=other_reference)
    gone = runs.record()
    gone = replace(gone, engine=replace(gone.engine, label="TensorRT INT8", file="net/e.plan"))
    store.save([older, gone])
    new = runs.record(retrieval=make_retrieval(persons=50))
    alone = replace(runs.record(), reference=None, latency={})
    notes = "\n".join(compare([new], store).notes)
    assert "1 earlier runs stood beside another reference (ONNX Runtime FP32 1.21" in notes
    assert "accuracy was measured on other queries" in notes
    assert "TensorRT INT8 (net/e.plan) was measured before and is not in this result" in notes
    assert "absolute times of two runs are no comparison" in "\n".join(
        compare([alone], store).notes
    )
    assert "no accuracy to compare" in "\n".join(compare([alone], store).notes)


def test_an_engine_of_another_bundle_is_not_missed(runs: Any, store: Store) -> None:
    other = runs.record()
    store.save([replace(other, engine=replace(other.engine, group="b", file="b/engine.xml"))])
    assert not any("is not in this result" in n for n in compare([runs.record()], store).notes)


def test_the_json_says_it_all(runs: Any, store: Store) -> None:
    store.save(runs.record() for _ in range(6))
    found = compare([runs.record(slower=1.3)], store).to_json()
    assert (found["verdict"], found["exit_code"]) == ("worse", 1)
    assert found["findings"][0]["outcome"] == "worse"
    assert found["findings"][0]["runs"] == 6


@pytest.mark.parametrize("wrong", [{"last": 0}, {"level": 1.0}, {"level": 0.1}])
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CompareOptions(**wrong)


def test_a_result_without_engines_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="no engine"):
        compare([], store)
