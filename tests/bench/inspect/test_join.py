"""Layers joined with nodes: by metadata, by name, by region; what is left over is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.inspect.graph import Source, source_of
from edgereid.bench.inspect.join import Joined, join
from edgereid.bench.inspect.layers import EngineLayer, information
from tests.bench.inspect.conftest import (
    DIGITS_MACS,
    QUANTISED_MACS,
    digits_network,
    layer_text,
    model_of,
    quantised_network,
)

pytest.importorskip("onnx")


def joined(layers: Any, source: Source | None, asked: Any = ()) -> Joined:
    layers = information(json.dumps({"Layers": layers}), "x").layers
    return join(layers, [None] * len(layers), source, dict.fromkeys(asked, "int8"))


def of_sample(data: Path, name: str, source: Source) -> Joined:
    layers = information((data / f"{name}.layers.json").read_text(), name).layers
    return join(layers, [1.0] * len(layers), source, dict.fromkeys(source.asked, "int8"))


@pytest.fixture(scope="module")
def digits() -> Source:
    return source_of(digits_network())


@pytest.fixture(scope="module")
def quantised() -> Source:
    return source_of(quantised_network())


@pytest.mark.parametrize("sample", ["ada-10", "b200-11"])
def test_the_samples_of_10_x_and_11_x_are_joined_by_their_metadata(
    sample: str, data: Path, digits: Source
) -> None:
    found = of_sample(data, sample, digits)
    macs = {row.name: row.macs for row in found.rows if row.macs}
    assert macs == DIGITS_MACS
    owner = {n: s for s in found.steps for n in s.nodes if s.macs}
    for name in ("node_conv2d", "node_conv2d_1", "node_linear"):
        assert owner[name].macs == DIGITS_MACS[name]
    assert all(not step.unknown for step in found.steps)
    assert found.steps[-1].group == "changes"


def test_a_node_in_several_layers_counts_for_none_but_has_its_precision(
    data: Path, digits: Source
) -> None:
    found = of_sample(data, "ada-10", digits)
    row = next(row for row in found.rows if row.name == "node_linear_1")
    assert row.layers == ("__myl_MulSum_myl4_1", "__myl_AddMaxrSubExpSum_myl4_2")
    assert (row.ran, row.ms) == ("f32", None)
    assert sum(step.macs for step in found.steps) == sum(DIGITS_MACS.values()) - 10_240


def test_tf32_is_told_from_fp32(data: Path, digits: Source) -> None:
    rows = {row.name: row.ran for row in of_sample(data, "b200-11", digits).rows}
    assert (rows["node_conv2d"], rows["node_linear"]) == ("tf32", "f32")


def test_the_sample_of_8_x_is_joined_by_its_names(data: Path, quantised: Source) -> None:
    found = of_sample(data, "a100-int8", quantised)
    assert [step.group for step in found.steps] == ["changes", "nodes", "nodes", "nodes"]
    assert [step.macs for step in found.steps] == [0, *QUANTISED_MACS.values()]
    assert found.steps[3].nodes == ("Conv_34", "Add_42", "Relu_43")
    assert all(not step.unknown for step in found.steps)
    verdicts = {row.name: row.verdict for row in found.rows if row.verdict}
    assert verdicts == dict.fromkeys(QUANTISED_MACS, "kept")
    lost = {row.name for row in found.rows if not row.layers}
    assert lost == {"Relu_11", "Relu_24"}  # TensorRT does not name them; nothing is made up


def test_quantizers_ask_for_int8_and_name_what_quantises_the_data(quantised: Source) -> None:
    assert set(quantised.asked) == set(QUANTISED_MACS)
    assert "QuantizeLinear_15" in quantised.asked["Conv_22"]
    assert not source_of(digits_network()).asked


def test_what_our_own_typing_adds_is_known_and_nothing_else(quantised: Source) -> None:
    known = ("x/cast", "p/f16", "p/f16_/cast", "r2/f32/cast", "conv1.weight/f16")
    assert all(map(quantised.known, known))
    strange = ("", "/cast", "z/cast", "x/f17", "x/cast/cast", "x_f16", "z/f16/cast")
    assert not any(map(quantised.known, strange))
    found = joined(["x/cast + Conv_9"], quantised, ["Conv_9"]).steps[0]
    assert (found.nodes, found.unknown) == (("Conv_9",), ())


def test_a_names_only_engine_has_nodes_but_no_precision(quantised: Source) -> None:
    found = joined(["conv1.weight + QuantizeLinear_7 + Conv_9"], quantised, ["Conv_9"])
    assert found.steps[0].nodes == ("Conv_9",)
    assert found.steps[0].precision is None
    assert next(r for r in found.rows if r.name == "Conv_9").verdict == "unclear"


@pytest.mark.parametrize(
    ("reads", "more", "verdict"),
    [
        (("Int8",), {"Weights": {"Type": "Int8"}}, "kept"),
        (("Half",), {"Weights": {"Type": "Half"}}, "refused"),
        (("Float",), {}, "refused"),
        (("Half",), {"Weights": {"Type": "Int8"}}, "unclear"),
        (("Int8",), {"TacticName": "a_f16f16_f16f16_f16_b"}, "unclear"),
        (("Unknown",), {}, "unclear"),
        ((), {}, "unclear"),
    ],
)
def test_int8_is_kept_refused_or_unclear(
    reads: Any, more: Any, verdict: str, quantised: Source
) -> None:
    found = joined([layer_text("Conv_22", reads=reads, **more)], quantised, ["Conv_22"])
    assert next(r for r in found.rows if r.name == "Conv_22").verdict == verdict


def test_a_kernel_that_quantises_its_data_itself_runs_in_int8(quantised: Source) -> None:
    layer = layer_text("Conv_22", reads=("Half",), Weights={"Type": "Int8"})
    layer["Metadata"] = "[ONNX Layer: QuantizeLinear_15]\x1f[ONNX Layer: Conv_22]"
    found = joined([layer], quantised, ["Conv_22"])
    assert (found.steps[0].precision, found.steps[0].doubt) == ("int8", "")
    layer["Metadata"] = "[ONNX Layer: Conv_22]\x1f[ONNX Layer: QuantizeLinear_27]"  # its output's
    assert joined([layer], quantised, ["Conv_22"]).steps[0].precision is None


def test_a_reformat_that_carries_a_nodes_name_does_not_do_its_work(quantised: Source) -> None:
    copy = layer_text("Reformatting CopyNode for Input Tensor 0 to Conv_22", "Reformat", ("Half",))
    copy["Metadata"] = "[ONNX Layer: Conv_22]"
    found = joined([copy, layer_text("Conv_22")], quantised, ["Conv_22"])
    assert [step.group for step in found.steps] == ["changes", "nodes"]
    row = next(r for r in found.rows if r.name == "Conv_22")
    assert (row.verdict, row.ran, len(row.layers)) == ("kept", "int8", 2)


def test_unknown_names_are_kept_and_never_matched(quantised: Source) -> None:
    found = joined([layer_text("Conv_99 + Conv_22"), layer_text("Conv_2")], quantised)
    assert [step.unknown for step in found.steps] == [("Conv_99",), ("Conv_2",)]
    assert [step.group for step in found.steps] == ["nodes", "unmatched"]


def test_a_region_holds_the_nodes_between_its_ends_that_no_layer_names(quantised: Source) -> None:
    region = layer_text("{ForeignNode[MaxPool_12...Conv_34]}", "Myelin")
    found = joined([region, layer_text("Conv_22")], quantised)
    assert found.steps[0].nodes == ("MaxPool_12", "Relu_24", "Conv_34")
    assert found.steps[1].nodes == ("Conv_22",)


def test_a_region_may_begin_at_a_quantizer(quantised: Source) -> None:
    region = layer_text("{ForeignNode[QuantizeLinear_27...Relu_43]}", "Myelin")
    assert joined([region], quantised).steps[0].nodes == ("Conv_34", "Add_42", "Relu_43")


def test_a_region_with_unknown_ends_holds_nothing(quantised: Source) -> None:
    step = joined([layer_text("{ForeignNode[nowhere...Conv_34]}", "Myelin")], quantised).steps[0]
    assert (step.nodes, step.unknown, step.group) == ((), ("nowhere",), "unmatched")


def test_layers_of_weights_alone_are_tensorrts_own(quantised: Source) -> None:
    found = joined(["conv1.weight + (Unnamed Layer* 3) [Shuffle]", "[trainStation1]"], quantised)
    assert [step.group for step in found.steps] == ["own", "own"]


def test_a_node_without_a_name_is_called_by_its_output() -> None:
    """TensorRT's parser calls it node_of_ and the name of what it makes."""
    from onnx import helper

    source = source_of(model_of([helper.make_node("Relu", ["x"], ["y"])], {}, [1, 4], "y"))
    assert joined(["node_of_y"], source).steps[0].nodes == ("y",)


def test_without_a_graph_nothing_is_joined_and_nothing_unknown() -> None:
    found = joined([layer_text("a + b"), layer_text("Reformatting CopyNode for Input Tensor 0 to a",
                                                    "Reformat")], None)  # fmt: skip
    assert found.rows == ()
    assert [(s.group, s.nodes, s.unknown) for s in found.steps] == [
        ("nodes", (), ()),
        ("changes", (), ()),
    ]


@pytest.mark.parametrize(
    ("reads", "verdict"), [("Float", "kept"), ("Half", "lowered"), ("Int8", "lowered")]
)
def test_a_node_that_was_to_stay_float32_is_judged(
    reads: str, verdict: str, digits: Source
) -> None:
    layer = layer_text("node_softmax", "SoftMax", (reads,))
    parsed = information(json.dumps({"Layers": [layer]}), "x").layers
    found = join(parsed, [None], digits, {"node_softmax": "f32"})
    assert next(r for r in found.rows if r.name == "node_softmax").verdict == verdict


def test_each_layer_stands_in_its_place_with_its_time(digits: Source) -> None:
    layers = [EngineLayer("node_view"), EngineLayer("node_conv2d")]
    found = join(layers, [0.5, None], digits, {})
    assert [(s.name, s.ms) for s in found.steps] == [("node_view", 0.5), ("node_conv2d", None)]
