"""The search on a simulated engine whose optimum brute force knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.errors import InputError, UsageError
from edgereid.search.choice import Choice, all_float, all_int8
from edgereid.search.journal import Journal
from edgereid.search.judge import ERROR_RATE, allowed_changes, keeps_budget, level
from edgereid.search.measured import Agreement, Cost, Drop
from edgereid.search.options import SearchOptions, require_target
from edgereid.search.outcome import Outcome, Record, pareto
from edgereid.search.rig import LONG, Effort
from edgereid.search.search import default_minutes, run_search
from edgereid.search.session import MAX_JUDGED
from edgereid.search.units import Unit
from edgereid.search.wording import keeps_words
from tests.search.simulated import Simulated


def search(rig: Simulated, max_drop: float, path: Path | None = None) -> Outcome:
    return run_search(rig, SearchOptions(max_drop), Journal.open(path, "it"), "made up")


def made_up(seed: int, noise: float, two: bool) -> tuple[Simulated, float]:
    """A chain of 3 to 8 units, some faster in float, and a budget for part of its errors."""
    rng = np.random.default_rng(seed)
    units = int(rng.integers(3, 9))
    slow = rng.uniform(0.2, 3, units)
    rig = Simulated(
        {"f32": list(slow)},
        list(slow * rng.uniform(0.2, 1.1, units)),
        list(10 ** rng.uniform(-3, -0.5, units)),
        border_ms=float(rng.uniform(0, 0.4)),
        noise=noise,
        seed=seed,
    )
    if two:
        rig.float_ms["bf16"] = list(slow * rng.uniform(0.4, 0.9, units))
        rig.float_errors["bf16"] = 1e-3
    share = float(rng.choice([0.1, 0.3, 0.6, 1.1]))
    return rig, rig.points_per_error * sum(rig.errors) * share


seeds = st.integers(0, 2**31)


@given(seeds, st.sampled_from([0.0, 0.01, 0.03]), st.booleans())
@settings(max_examples=60, deadline=None, derandomize=True)  # noise may deceive, if rarely
def test_the_result_keeps_the_budget_and_is_never_slower_than_the_best_float_engine(
    seed: int, noise: float, two: bool
) -> None:
    rig, max_drop = made_up(seed, noise, two)
    taken = search(rig, max_drop).point.choice
    assert rig.true_drop(taken) <= max_drop
    usable = [c for c in rig.every_choice() if c.is_float and rig.true_drop(c) <= max_drop]
    assert rig.time(taken) <= min(map(rig.time, usable)) * (1 + 1e-9)


@given(seeds, st.booleans())
@settings(max_examples=60, deadline=None)
def test_without_noise_it_finds_the_optimum_to_a_few_per_cent(seed: int, two: bool) -> None:
    rig, max_drop = made_up(seed, 0.0, two)
    taken = search(rig, max_drop).point.choice
    assert rig.time(taken) <= 1.06 * rig.time(rig.optimum(max_drop))


def test_with_noise_it_comes_near_the_optimum_on_average() -> None:
    ratios = []
    for seed in range(40):
        rig, max_drop = made_up(seed, 0.01, bool(seed % 2))
        taken = search(rig, max_drop).point.choice
        ratios.append(rig.time(taken) / rig.time(rig.optimum(max_drop)))
    assert np.mean(ratios) < 1.02
    assert max(ratios) < 1.25


@pytest.mark.parametrize("seed", range(5))
def test_the_same_measurements_give_the_same_result(seed: int) -> None:
    rig, max_drop = made_up(seed, 0.02, True)
    again, _ = made_up(seed, 0.02, True)
    first, second = search(rig, max_drop), search(again, max_drop)
    assert replace(first, seconds=0.0) == replace(second, seconds=0.0)


@given(seeds, st.sampled_from([0.0, 0.03]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_front_holds_no_dominated_point_and_falls_from_fast_to_exact(
    seed: int, noise: float, two: bool
) -> None:
    rig, max_drop = made_up(seed, noise, two)
    points = search(rig, max_drop).points
    costs = [p.cost.value for p in points]
    errors = [p.agreement.error for p in points]
    assert costs == sorted(set(costs))
    assert errors == sorted(set(errors), reverse=True)
    assert points == pareto(points)


class StopError(Exception):
    """In place of Ctrl-C."""


def stopping(rig: Simulated, after: int) -> Simulated:
    """The rig, which stops the search after so many calls."""

    class Stopping(Simulated):
        def _stop(self) -> None:
            if self.calls >= after:
                raise StopError

        def race(self, *args: object) -> object:  # type: ignore[override]
            self._stop()
            return super().race(*args)  # type: ignore[arg-type]

        def agreement(self, choice: Choice) -> Agreement:
            self._stop()
            return super().agreement(choice)

        def drop(self, choice: Choice, level: float) -> Drop | None:
            self._stop()
            return super().drop(choice, level)

    return Stopping(**{name: getattr(rig, name) for name in Simulated.__dataclass_fields__})


@pytest.mark.parametrize("seed", [3, 4, 7])
def test_stopped_at_any_step_it_goes_on_to_the_same_result(seed: int, tmp_path: Path) -> None:
    rig, max_drop = made_up(seed, 0.02, True)
    whole = search(rig, max_drop)
    steps = rig.calls
    for after in range(0, steps, 3):
        path = tmp_path / f"{after}.json"
        broken = stopping(made_up(seed, 0.02, True)[0], after)
        with pytest.raises(StopError):
            search(broken, max_drop, path)
        resumed, _ = made_up(seed, 0.02, True)
        found = search(resumed, max_drop, path)
        assert replace(found, seconds=0.0) == replace(whole, seconds=0.0)
        assert resumed.calls == steps - after  # nothing is measured twice


def test_a_state_of_another_model_is_not_used_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    journal = Journal.open(path, "one")
    assert journal.recall("step", lambda: [1.5]) == [1.5]
    assert Journal.open(path, "one").recall("step", lambda: 1 / 0) == [1.5]
    assert not Journal.open(path, "two").steps
    for text in ("[]", '{"schema": 1}', '{"schema": 1, "binding": "one", "steps": {"a": {}}}'):
        path.write_text(text)
        with pytest.raises(InputError, match="state"):
            Journal.open(path, "one")


def test_time_that_was_used_before_a_stop_counts(tmp_path: Path) -> None:
    now = iter(range(0, 1000, 10))
    path = tmp_path / "state.json"
    journal = Journal.open(path, "one", lambda: float(next(now)))
    journal.recall("a", lambda: 1)
    again = Journal.open(path, "one", lambda: float(next(now)))
    again.recall("a", lambda: 2)
    again.recall("b", lambda: 3)
    assert again.seconds == 20.0


def test_a_step_that_is_asked_for_again_takes_no_time() -> None:
    now = iter(range(0, 1000, 10))
    journal = Journal(None, "", lambda: float(next(now)))
    for _ in range(3):
        journal.recall("a", lambda: 1)
    assert journal.seconds == 10.0


def test_when_the_time_is_over_the_long_ranges_were_measured_and_the_result_still_holds() -> None:
    rig = Simulated({"f32": [1.0] * 16}, [0.5] * 16, [0.01] * 16, border_ms=0.1)
    max_drop = 1.0
    clock = iter(range(100_000))
    journal = Journal(None, "", lambda: float(next(clock)))  # a second a step
    found = run_search(rig, SearchOptions(max_drop, minutes=0.3), journal, "made up")
    assert not found.complete
    assert found.additivity is None
    lengths = [p.last - p.first for p in found.parts]
    assert lengths == sorted(lengths, reverse=True)
    assert rig.true_drop(found.point.choice) <= max_drop


def slow_int8(units: int = 4) -> Simulated:
    return Simulated(
        {"f32": [1.0] * units, "bf16": [0.6] * units}, [1.5] * units, [1e-4] * units, noise=0.01
    )


def test_int8_that_is_slower_everywhere_gives_the_best_float_engine_and_says_so() -> None:
    rig = slow_int8()
    found = search(rig, 1.0)
    assert found.point.choice == all_float("bf16", 4)
    assert found.why.startswith(
        "the float engine in bf16 is returned: nothing with INT8 that was tried is faster; all INT8"
    )
    said = re.search(r"runs at (\S+) times its speed$", found.why)
    assert said
    ratio = rig.time(found.point.choice) / rig.time(Choice("bf16", (), 4))
    assert float(said[1]) == pytest.approx(ratio, rel=0.05)
    assert found.point.keeps is True


def test_int8_that_is_faster_but_breaks_the_budget_is_said_to() -> None:
    found = search(Simulated({"f32": [1.0] * 4}, [0.5] * 4, [10.0] * 4), 1.0)
    assert found.point.choice == all_float("f32", 4)
    assert "nothing faster that was tried is sure to keep the accuracy budget" in found.why


def test_a_float_arithmetic_that_breaks_the_budget_is_not_returned() -> None:
    rig = slow_int8()
    rig.float_errors["bf16"] = 1.0
    assert search(rig, 1.0).point.choice == all_float("f32", 4)


def test_of_several_float_arithmetics_the_fastest_that_keeps_the_budget_is_the_bar() -> None:
    rig = Simulated(
        {"f32": [1.0] * 4, "bf16": [0.5] * 4, "f16": [0.6] * 4},
        [0.8] * 4,
        [1e-4] * 4,
        float_errors={"bf16": 1.0},
    )
    found = search(rig, 1.0)
    assert found.point.choice == all_float("f16", 4)
    assert found.why.startswith("the float engine in f16 is returned")


def test_a_gain_that_noise_may_explain_is_not_taken() -> None:
    rig = Simulated({"f32": [1.0] * 4}, [0.999] * 4, [1e-4] * 4, noise=0.05)
    found = search(rig, 1.0)
    assert found.point.choice.is_float
    assert "not clearly faster" in found.why or "nothing with INT8 that was tried" in found.why


def test_what_a_short_race_leaves_open_a_longer_one_decides() -> None:
    efforts = []

    class Watched(Simulated):
        def race(self, choices: Sequence[Choice], effort: Effort) -> list[Cost]:
            efforts.append(effort)
            return super().race(choices, effort)

    units = 4
    rig = Watched({"f32": [1.0] * units}, [0.93] * units, [1e-4] * units, noise=0.05)
    found = search(rig, 1.0)
    assert efforts[-1] == LONG
    assert found.point.choice == all_int8("f32", units)
    clear = Watched({"f32": [1.0] * units}, [0.4] * units, [1e-4] * units, noise=0.01)
    efforts.clear()
    search(clear, 1.0)
    assert LONG not in efforts


def test_int8_everywhere_is_taken_when_it_keeps_the_budget_and_is_judged_first() -> None:
    rig = Simulated({"f32": [1.0] * 5}, [0.4] * 5, [1e-3] * 5)
    found = search(rig, 1.0)
    assert found.point.choice == all_int8("f32", 5)
    assert found.point.drop is not None
    assert found.point.drop.level == ERROR_RATE / 2
    assert found.additivity == pytest.approx(1.0)


def test_a_single_unit_can_be_searched() -> None:
    assert search(Simulated({"f32": [1.0]}, [0.4], [1e-3]), 1.0).point.choice.kept == ()
    assert search(Simulated({"f32": [1.0]}, [0.4], [1.0]), 1.0).point.choice.is_float


def test_the_error_rates_of_all_judgements_together_stay_below_the_permitted_one() -> None:
    assert sum(level(i) for i in range(MAX_JUDGED + 1)) < ERROR_RATE
    rig, max_drop = made_up(5, 0.0, True)
    found = search(rig, max_drop)
    assert sum(p.drop is not None for p in found.points) <= MAX_JUDGED + 1


@pytest.mark.parametrize(
    ("drop", "agreement", "keeps"),
    [
        (Drop(0.1, 0.29, 0.05, 100, 50), Agreement(1.0, 0.0, 0.0), True),
        (Drop(0.1, 0.31, 0.05, 100, 50), Agreement(0.0, 1.0, 1.0), False),
        (None, Agreement(0.01, 0.995, 0.98), True),
        (None, Agreement(0.01, 0.985, 0.98), False),
        (None, Agreement(0.01, 0.995, 0.96), False),
    ],
)
def test_the_budget_is_judged_by_the_upper_bound_or_without_labels_by_the_embeddings(
    drop: Drop | None, agreement: Agreement, keeps: bool
) -> None:
    assert allowed_changes(0.3) == pytest.approx(0.03)
    assert keeps_budget(drop, agreement, 0.3) is keeps


@pytest.mark.parametrize(
    ("keeps", "drop", "words"),
    [
        (True, Drop(0.1, 0.2, 0.05, 9, 9), "keeps"),
        (False, Drop(0.1, 0.4, 0.05, 9, 9), "not shown"),
        (False, Drop(0.4, 0.9, 0.05, 9, 9), "breaks"),
        (False, None, "breaks"),
        (None, None, "not judged"),
    ],
)
def test_too_few_people_are_told_from_a_broken_budget(
    keeps: bool | None, drop: Drop | None, words: str
) -> None:
    assert keeps_words(keeps, drop, 0.3) == words


def test_a_float_engine_for_want_of_people_says_so() -> None:
    class Few(Simulated):
        def drop(self, choice: Choice, level: float) -> Drop | None:
            points = self.true_drop(choice)
            return Drop(points, points + 1.0, level, 10, 5)

    found = search(Few({"f32": [1.0] * 4}, [0.4] * 4, [1e-3] * 4), 0.3)
    assert found.point.choice.is_float
    assert "on too few people to be sure" in found.why


def test_without_labels_a_result_is_found_and_no_loss_is_stated() -> None:
    rig = Simulated({"f32": [1.0] * 4}, [0.4] * 4, [1e-3] * 4, labelled=False)
    found = search(rig, 0.3)
    assert found.point.choice == all_int8("f32", 4)
    assert all(p.drop is None for p in found.points)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SearchOptions(0.0), "--max-drop 0"),
        (lambda: SearchOptions(float("nan")), "--max-drop nan"),
        (lambda: SearchOptions(0.3, minutes=0.0), "--search-minutes"),
        (lambda: SearchOptions(0.3, batch=0), "batch size 0"),
        (lambda: require_target("tensorrt"), "openvino, not tensorrt"),
        (lambda: require_target("onnxruntime-arm"), "or openvino, not onnxruntime-arm"),
    ],
)
def test_options_that_cannot_be_are_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_slow_networks_get_more_time() -> None:
    assert default_minutes(10.0) < 15 < default_minutes(300.0) < 60


def test_a_record_is_read_as_it_was_written_and_refused_when_damaged(tmp_path: Path) -> None:
    from edgereid.files import dump_json

    rig, max_drop = made_up(1, 0.02, True)
    units = tuple(Unit(f"u{i}", (f"n{i}",), 10) for i in range(rig.units))
    record = Record("openvino", units, (3, 5), search(rig, max_drop))
    path = tmp_path / "search-openvino.json"
    path.write_text(dump_json(record.to_json()))
    read = Record.load(path)
    assert replace(read, outcome=replace(read.outcome, seconds=0.0)) == replace(
        record, outcome=replace(record.outcome, seconds=0.0)
    )
    value = record.to_json()
    for damage in ({"taken": 99}, {"schema": 2}, {"points": [{}]}, {"units": 3}):
        path.write_text(dump_json(value | damage))
        with pytest.raises(InputError, match="search-openvino"):
            Record.load(path)
