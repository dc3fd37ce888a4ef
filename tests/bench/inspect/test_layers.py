"""The inspector's JSON, on what TensorRT 8.x, 10.x and 11.x wrote, and on what nobody should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.inspect.layers import EngineLayer, Tensor, information
from edgereid.errors import InputError

CONV = {"Name": "c", "LayerType": "CaskConvolution"}


def parsed(*layers: Any, **more: Any) -> tuple[EngineLayer, ...]:
    return information(json.dumps({"Layers": layers, **more}), "x.json").layers


def sample(data: Path, name: str) -> Any:
    return information((data / f"{name}.layers.json").read_text(), name)


def test_layers_of_8_x_have_types_weights_and_tactics(data: Path) -> None:
    found = sample(data, "a100-int8")
    assert (found.form, found.tensors, found.detailed) == ("8.x to 10.x", ("input.1",), True)
    quantise, first, second, third = found.layers
    assert (quantise.origin, quantise.kind, quantise.weights) == ("QDQ", "Reformat", None)
    assert quantise.inputs == (Tensor("input.1", "f32"),)
    assert quantise.outputs == (Tensor("onnx::DequantizeLinear_125", "int8"),)
    assert (first.weights, first.kind) == ("int8", "ConvActPool")
    assert second.tactic.startswith("sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32")
    assert [t.type for t in third.inputs] == ["int8", "int8"]


def test_layers_of_10_x_carry_the_onnx_nodes(data: Path) -> None:
    found = sample(data, "ada-10")
    assert found.tensors == ("x", "y", "z")
    assert found.layers[0].metadata == "[ONNX Layer: node_conv2d]\x1e[ONNX Layer: node_relu]"
    assert found.layers[-1].outputs == (Tensor("z", "int64"),)
    assert found.layers[-1].metadata == ""


def test_layers_of_11_x_have_format_and_type_apart_and_weights_among_constants(data: Path) -> None:
    found = sample(data, "b200-11")
    assert (found.form, found.tensors) == ("11.x", ("x", "y"))
    house_keeping, move, conv = found.layers[:3]
    assert [t.type for t in house_keeping.inputs] == ["uint8", "uint64"]
    assert (move.weights, move.inputs[0].type) == (None, "f32")
    assert (conv.weights, conv.kind) == ("f32", "correlation")


def test_scales_are_not_taken_for_weights() -> None:
    scale = {"Name": "s", "Dimensions": [1], "Datatype": "Float"}
    kernel = {"Name": "w", "Dimensions": [8, 3, 3, 3], "Datatype": "Int8"}
    (layer,) = parsed({**CONV, "Constants": [scale, kernel, scale]})
    assert layer.weights == "int8"


def test_without_detailed_verbosity_there_are_names_alone(data: Path) -> None:
    found = sample(data, "names-only")
    assert not found.detailed
    assert found.layers[0] == EngineLayer("[trainStation1]")
    assert len(found.layers) == 15


def test_a_copy_of_the_network_for_another_profile_is_told_apart() -> None:
    found = information(json.dumps({"Layers": ["a", "a [profile 1]", "b [profile 12]"]}), "x")
    assert [layer.profile for layer in found.layers] == [0, 1, 12]
    assert [layer.name for layer in found.of_profile(1)] == ["a [profile 1]"]
    with pytest.raises(InputError, match=r"no layer of profile 2\. Profiles: 0, 1, 12"):
        found.of_profile(2)


def test_control_characters_and_nan_in_what_is_not_read_are_let_pass() -> None:
    text = '{"Layers": [{"Name": "a\x1eb", "Alpha": NaN, "Metadata": "[ONNX Layer: a]\x1f"}]}'
    assert information(text, "x").layers[0].name == "a\x1eb"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ('{"Layers": [{"Name": "a"', "cut off"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "no list 'Layers'"),
        ('{"Layers": 3}', "no list 'Layers'"),
        ('{"Layers": []}', "detailed"),
        ('{"Layers": [3]}', "layer 0 is neither"),
        ('{"Layers": ["a", {"LayerType": "x"}]}', "layer 1 is neither"),
        ('{"Layers": [{"Name": 5}]}', "layer 0 is neither"),
        ('{"Layers": [{"Name": "a", "Name": "b"}]}', "occurs twice"),
        ('{"Layers": [{"Name": "a", "LayerType": 1}]}', "'LayerType' is 1"),
        ('{"Layers": [{"Name": "a", "Inputs": {}}]}', "'Inputs' is no list"),
        ('{"Layers": [{"Name": "a", "Inputs": ["b"]}]}', "'Inputs' is no list"),
        ('{"Layers": [{"Name": "a", "Inputs": [{"Name": "b", "Datatype": 1}]}]}', "'Datatype'"),
        ('{"Layers": [{"Name": "a", "Weights": {"Type": 1}}]}', "'Type' is 1"),
        ('{"Layers": [{"Name": "a", "TacticName": []}]}', "'TacticName'"),
        ('{"Layers": ["a"], "Bindings": "x"}', "'Bindings' is no list"),
        ('{"Layers": ["a"], "I/O Tensors": ["x"]}', "'I/O Tensors' is no list"),
    ],
)
def test_what_is_no_layer_information_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        information(text, "x.json")
    assert "x.json" in str(caught.value)
    assert "\n" not in str(caught.value)
