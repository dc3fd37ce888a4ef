"""Profiles of layers, and which layer a time belongs to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.inspect.layers import EngineLayer, information
from edgereid.bench.inspect.times import LayerTimes, Timed, join_times, layer_times
from edgereid.errors import InputError


def layers(*names: str) -> list[EngineLayer]:
    return [EngineLayer(name) for name in names]


def times(*rows: tuple[str, float]) -> LayerTimes:
    return LayerTimes(rows, 1, "median")


def test_the_median_is_taken_of_a_profile_that_has_it(data: Path) -> None:
    found = layer_times((data / "orin-8.5.profile.json").read_text(), "p")
    assert (found.runs, found.statistic) == (11, "median")
    assert found.rows[0] == ("[trainStation1]", 1.08902)  # its mean is 1.52
    assert len(found.rows) == 8


def test_before_8_6_there_is_only_the_mean() -> None:
    found = layer_times('[{"count": 2}, {"name": "a", "timeMs": 3, "averageMs": 1.5}]', "p")
    assert (found.rows, found.statistic, found.runs) == ((("a", 1.5),), "mean", 2)


def test_a_profile_is_joined_by_name(data: Path) -> None:
    engine = information((data / "names-only.layers.json").read_text(), "x")
    profile = layer_times((data / "orin-8.5.profile.json").read_text(), "p")
    found = join_times(engine.layers, profile)
    known = {x.name: ms for x, ms in zip(engine.layers, found.ms, strict=True) if ms is not None}
    assert known == dict(profile.rows)
    assert found.trouble == ""
    assert found.ms.count(None) == len(engine.layers) - len(profile.rows)


def test_a_profile_of_another_build_gives_no_times_at_all(data: Path) -> None:
    """Some names occur in both builds, with other kernels behind them."""
    engine = information((data / "b200-11.layers.json").read_text(), "x")
    profile = layer_times((data / "b200-11.profile.json").read_text(), "p")
    shared = {layer.name for layer in engine.layers} & {name for name, _ in profile.rows}
    assert "node_conv2d_1_myl0_4" in shared
    found = join_times(engine.layers, profile)
    assert set(found.ms) == {None}
    assert "another build: 4 of the 6" in found.trouble


def test_names_that_repeat_in_the_same_order_are_joined_by_place() -> None:
    found = join_times(layers("a", "b", "a"), times(("a", 1), ("b", 2), ("a", 3)))
    assert found == Timed((1, 2, 3))


@pytest.mark.parametrize(
    "rows",
    [
        [("a", 1), ("a", 3), ("b", 2)],
        [("a", 1), ("b", 2)],
        [("b", 2), ("a", 1), ("a", 3)],
    ],
)
def test_names_that_repeat_otherwise_have_no_time(rows: Any) -> None:
    found = join_times(layers("a", "b", "a"), times(*rows))
    assert found.ms == (None, 2, None)
    assert "1 names repeat" in found.trouble


@given(st.permutations(["a", "b", "c", "d"]), st.integers(1, 4))
def test_the_order_of_a_profile_does_not_matter_where_names_differ(order: Any, kept: int) -> None:
    value = {name: float(i) for i, name in enumerate("abcd")}
    found = join_times(layers(*"abcd"), times(*((n, value[n]) for n in order[:kept])))
    wanted = tuple(value[n] if n in order[:kept] else None for n in "abcd")
    assert found == Timed(wanted)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no profile"),
        ({}, "no profile"),
        ([{"count": 3}], "no profile"),
        ([{"name": "a"}], "no profile"),
        ([3], "no profile"),
        ([{"name": "a", "averageMs": -0.5}], "no time in milliseconds"),
        ([{"name": "a", "averageMs": "1"}], "no time in milliseconds"),
        ([{"name": "a", "averageMs": True}], "no time in milliseconds"),
        ([{"name": "a", "averageMs": None}], "no time in milliseconds"),
        ([{"name": 5, "averageMs": 1}], "a name and 'averageMs'"),
        ([{"name": "a", "averageMs": 1}, {"name": "b"}], "a name and 'averageMs'"),
        ([{"count": 0}, {"name": "a", "averageMs": 1}], "number of runs"),
        ([{"count": 1.5}, {"name": "a", "averageMs": 1}], "number of runs"),
        ([{"count": 1}, {"count": 2}, {"name": "a", "averageMs": 1}], "number of runs"),
    ],
)
def test_what_is_no_profile_is_refused(rows: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        layer_times(json.dumps(rows), "p.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e-9", "1e400"])
def test_a_time_that_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(InputError, match="no time"):
        layer_times(f'[{{"name": "a", "averageMs": {number}}}]', "p.json")
