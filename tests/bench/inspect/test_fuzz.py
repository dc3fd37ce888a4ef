"""Files that are damaged or made up: refused in one line, or read without a wrong number."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgereid.bench.inspect.graph import source_of
from edgereid.bench.inspect.join import join
from edgereid.bench.inspect.judge import notes, warnings
from edgereid.bench.inspect.layers import from_value, information
from edgereid.bench.inspect.names import named
from edgereid.bench.inspect.result import GROUPS, BuildResult, Inspection
from edgereid.bench.inspect.run import InspectOptions, inspect
from edgereid.bench.inspect.text import text
from edgereid.bench.inspect.times import join_times, layer_times
from edgereid.errors import EdgeReidError, InputError
from edgereid.files import dump_json
from tests.bench.inspect.conftest import DATA, quantised_network

pytest.importorskip("onnx")
SAMPLES = sorted(DATA.glob("*.layers.json"))
PROFILES = sorted(DATA.glob("*.profile.json"))
SOURCE = source_of(quantised_network())
FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["Half", "Row major Int8 format", "a + b", "{ForeignNode[a...b]}"])
)  # fmt: skip
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3)
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)  # type: ignore[assignment]
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def damaged(draw: st.DrawFn, files: list[Path]) -> Any:
    """A sample with one value replaced."""
    value = json.loads(draw(st.sampled_from(files)).read_text())
    path = draw(st.sampled_from(list(places(value))))
    new = draw(values)
    if not path:
        return new
    at = value
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return value


def check(build: BuildResult) -> None:
    """What must hold of any result: every layer once, no number that is none."""
    found = Inspection((build,))
    dump_json(found.to_json())  # raises on NaN
    text(found, everything=True)
    assert sum(len(build.of_group(group)) for group in GROUPS) == len(build.steps)
    for step in build.steps:
        assert step.ms is None or (math.isfinite(step.ms) and step.ms >= 0)
        assert set(step.nodes) <= set(SOURCE.nodes)
    assert sum(step.macs for step in build.steps) <= SOURCE.network.macs


@given(damaged(SAMPLES))
def test_damaged_layer_information_is_refused_or_joined_whole(value: Any) -> None:
    try:
        found = from_value(value, "x.json")
    except InputError:
        return
    with contextlib.suppress(InputError):
        layers = found.of_profile(0)
        asked = dict.fromkeys(SOURCE.asked, "int8")
        joined = join(layers, [0.5] * len(layers), SOURCE, asked)
        assert [step.name for step in joined.steps] == [layer.name for layer in layers]
        build = BuildResult("x", found.form, joined.steps, joined.rows, 0.5 * len(layers), 1,
                            "median", True)  # fmt: skip
        warnings(build), notes(build)
        check(build)


@given(damaged(PROFILES), st.sampled_from(SAMPLES))
def test_a_damaged_profile_is_refused_or_gives_each_layer_its_own_time(
    value: Any, sample: Path
) -> None:
    engine = information(sample.read_text(), "x")
    try:
        found = layer_times(json.dumps(value), "p.json")
    except InputError:
        return
    told = dict(found.rows)
    timed = join_times(engine.layers, found)
    for layer, ms in zip(engine.layers, timed.ms, strict=True):
        assert ms is None or ms == told[layer.name]


@FILES
@given(sample=st.sampled_from(sorted(DATA.iterdir())), draw=st.data())
def test_a_file_cut_off_or_with_a_changed_byte_does_not_crash(
    sample: Path, draw: st.DataObject, tmp_path: Path
) -> None:
    content = bytearray(sample.read_bytes())
    place = draw.draw(st.integers(0, len(content) - 1))
    if draw.draw(st.booleans()):
        del content[place:]
    else:
        content[place] = draw.draw(st.integers(0, 255))
    path = tmp_path / "x"
    path.write_bytes(content)
    with contextlib.suppress(EdgeReidError):
        for build in inspect(InspectOptions((path,))).builds:
            dump_json(build.to_json())


@FILES
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with contextlib.suppress(EdgeReidError):
        inspect(InspectOptions((path,)))


@given(st.text(max_size=200), st.text(max_size=200))
def test_names_that_are_made_up_stand_for_no_node(name: str, metadata: str) -> None:
    found = named(name, metadata)
    known = {n for n in found.names if SOURCE.find(n) is not None}
    assert known <= set(SOURCE.lookup)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=5))
def test_times_are_never_changed_on_their_way(times: list[float]) -> None:
    rows = [{"name": str(i), "averageMs": ms} for i, ms in enumerate(times)]
    good = all(math.isfinite(ms) and ms >= 0 for ms in times)
    try:
        found = layer_times(json.dumps(rows), "p")
    except InputError:
        assert not good
        return
    assert good
    assert [ms for _, ms in found.rows] == times
