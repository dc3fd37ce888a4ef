"""Two builds beside each other, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.inspect.compare import compare
from edgereid.bench.inspect.graph import source_of
from edgereid.bench.inspect.join import join
from edgereid.bench.inspect.layers import information
from edgereid.bench.inspect.result import BuildResult, Comparison
from tests.bench.inspect.conftest import digits_network, layer_text


def build(label: str, layers: Any, ms: Any = None, source: Any = None) -> BuildResult:
    parsed = information(json.dumps({"Layers": layers}), label).layers
    times = [None] * len(parsed) if ms is None else ms
    steps = join(parsed, times, source, {}).steps
    known = [t for t in times if t is not None]
    return BuildResult(label, None, steps, (), sum(known) or None, 1, "median", source is not None)


def changes(found: Comparison) -> dict[str, tuple[str, ...]]:
    return {(pair.first or pair.second).key: pair.changed for pair in found.pairs}  # type: ignore[union-attr]


def test_a_build_is_like_itself(data: Path) -> None:
    layers = json.loads((data / "a100-int8.layers.json").read_text())["Layers"]
    found = compare(build("a", layers), build("b", layers))
    assert (found.different, found.unclear, len(found.pairs)) == ((), 0, 4)


def test_precision_tactic_and_time_are_compared_whatever_the_order() -> None:
    first = [layer_text("a", TacticName="t1"), layer_text("b", TacticName="t1"), layer_text("c")]
    second = [layer_text("c"), layer_text("b", TacticName="t2"), layer_text("a", reads=("Half",))]
    found = compare(build("1", first, [1.0, 2.0, 3.0]), build("2", second, [3.5, 2.0, 0.5]))
    assert changes(found) == {"a": ("precision",), "b": ("tactic",), "c": ()}
    assert [pair.ms_change for pair in found.pairs] == [-0.5, 0.0, 0.5]


def test_another_fusion_is_seen_on_both_sides() -> None:
    found = compare(build("1", [layer_text("a + b")]), build("2", [layer_text("a"), "b"]))
    assert changes(found) == dict.fromkeys(("a + b", "a", "b"), ("only in one",))
    assert [pair.ms_change for pair in found.pairs] == [None] * 3


def test_the_numbers_in_names_do_not_matter() -> None:
    first, second = (
        [
            layer_text(f"node_{i}_myl{i}_{i}", "gemm", Metadata="[ONNX Layer: fc]"),
            f"__mye{i}_myl0_0",
        ]
        for i in (1, 2)
    )
    found = compare(build("1", first), build("2", second))
    assert changes(found)["fc"] == ()


def test_layers_that_stand_for_the_same_are_not_guessed() -> None:
    found = compare(build("1", [layer_text("a"), layer_text("a")]), build("2", [layer_text("a")]))
    assert (found.pairs, found.unclear) == ((), 3)


def test_an_untold_precision_is_no_difference() -> None:
    found = compare(build("1", ["a"]), build("2", [layer_text("a")]))
    assert changes(found) == {"a": ()}


def test_builds_of_two_releases_are_paired_by_their_nodes(data: Path) -> None:
    pytest.importorskip("onnx")
    source = source_of(digits_network())
    builds = [
        build(name, json.loads((data / f"{name}.layers.json").read_text())["Layers"], None, source)
        for name in ("ada-10", "b200-11")
    ]
    found = changes(compare(*builds))
    assert found["node_conv2d + node_relu"] == ("precision", "tactic")  # FP32 there, TF32 here
    assert found["node_linear + node_relu_2"] == ()
    assert found["node_linear_1"] == ()
    assert found["node_max_pool2d_1"] == ("only in one",)  # left out of the shortened sample
