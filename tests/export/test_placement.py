"""Each target's rules, on a small network that has every construct they speak of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from edgereid.calibration.scheme import INT8, UINT8, UINT8_AFFINE  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.placement import place, schemes_needed  # noqa: E402
from edgereid.export.policy import ONNXRUNTIME, OPENVINO, POLICIES, TENSORRT  # noqa: E402
from tests.export.conftest import Builder  # noqa: E402


def test_openvino_quantises_what_convolutions_read_what_sums_add_and_what_pools_read(
    small: Any,
) -> None:
    p = place(Graph(small), OPENVINO)
    assert list(p.activations) == [
        "images",
        "stem.relu",  # because the pooled map is
        "pool",
        "pw",
        "running",
        "gated",
        "expand",  # both convolutions that meet in a sum
        "short",
        "sum.relu",
        "grouped.relu",
        "avg",
        "last.relu",  # of a convolution, before a global pooling
    ]
    assert p.activations["pool"] == "stem.relu"  # one grid: the maximum is exact on it
    assert p.activations["avg"] == "avg"
    assert p.weights["fc.weight"] == 0
    assert set(p.weights) == {i.name for i in small.graph.initializer if "weight" in i.name}


def test_onnxruntime_also_quantises_outputs_after_the_rectifier(small: Any) -> None:
    p = place(Graph(small), ONNXRUNTIME)
    extra = set(p.activations) - set(place(Graph(small), OPENVINO).activations)
    assert extra == {"dw.relu", "mid.relu"}  # what a sum adds and a gate multiplies


def test_tensorrt_leaves_depthwise_thin_groups_maximum_and_head_alone(small: Any) -> None:
    p = place(Graph(small), TENSORRT)
    assert {"stem.relu", "pw", "expand"}.isdisjoint(p.activations)
    assert {"dw.weight", "grouped.weight", "gate.weight", "fc.weight"}.isdisjoint(p.weights)
    assert p.reasons["dw"] == "depthwise"
    assert "6 channels a group" in p.reasons["grouped"]
    assert "short" in p.activations
    assert p.activations["pool"] == "pool"


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_no_target_quantises_the_gates_the_head_or_a_bias(small: Any, policy: Any) -> None:
    p = place(Graph(small), policy)
    assert {"gate", "gate.mean", "gate.softmax", "flat", "features"}.isdisjoint(p.activations)
    assert not any("bias" in name for name in p.weights)
    assert p.precision["gate"] in ("f32", "int8 weights")
    assert p.precision["gated"] == p.precision["flat"] == "f32"
    assert set(p.precision) == {node.name for node in small.graph.node}


def test_precision_is_told_by_node(small: Any) -> None:
    p = place(Graph(small), OPENVINO)
    convolutions = ("stem", "pw", "dw", "mid", "expand", "short", "grouped", "last")
    assert all(p.precision[n] == "int8" for n in (*convolutions, "pool", "avg", "sum", "running"))
    assert p.precision["features"] == "int8 weights"
    t = place(Graph(small), TENSORRT)
    assert (t.precision["dw"], t.precision["grouped"], t.precision["mid"]) == ("f32", "f32", "int8")


def test_the_share_of_multiply_adds_is_counted(small: Any) -> None:
    pixels = {"stem": 128, "pw": 32, "dw": 32, "mid": 32, "expand": 32, "short": 32, "grouped": 32}
    weights = {i.name.removesuffix(".weight"): i for i in small.graph.initializer}
    size = {n: int(_numel(weights[n])) for n in (*pixels, "last", "gate", "fc")}
    total = sum(size[n] * k for n, k in pixels.items()) + 8 * size["last"]
    floats = size["gate"] + size["fc"]
    share = place(Graph(small), OPENVINO).int8_share
    assert share == pytest.approx(total / (total + floats))


def _numel(initializer: Any) -> int:
    n = 1
    for d in initializer.dims:
        n *= d
    return n


def test_a_table_must_serve_every_grid_the_targets_use(small: Any) -> None:
    nonnegative = {n: n not in ("images", "pw", "short", "expand") for n in _names(small)}
    needed = schemes_needed(Graph(small), (OPENVINO, ONNXRUNTIME, TENSORRT), nonnegative)
    assert set(needed["images"]) == {UINT8_AFFINE, INT8}
    assert set(needed["sum.relu"]) == {UINT8}  # tensorrt leaves the grouped convolution alone
    assert set(needed["running"]) == {UINT8, INT8}
    assert "pool" in needed  # tensorrt does not take the range of what is pooled


def _names(model: Any) -> list[str]:
    return ["images", *(name for node in model.graph.node for name in node.output)]


def test_weights_that_are_computed_stay_float(make_small: Callable[..., Any]) -> None:
    model = make_small()
    node = next(n for n in model.graph.node if n.name == "mid")
    model.graph.node.insert(0, _relu(node.input[1], "computed"))
    node.input[1] = "computed"
    p = place(Graph(model), OPENVINO)
    assert p.reasons["mid"] == "its weights are no constant"
    assert "running" not in p.activations  # a float layer reads it


def test_what_split_attention_splits_is_eight_bits_although_a_gate_multiplies_the_parts() -> None:
    b = Builder()
    x = b.op("Relu", "first.relu", b.conv("first", "images", 3, 8, 3))
    half = b.constant("half", np.array([4, 4]))
    b.nodes.append(onnx.helper.make_node("Split", [x, half], ["left", "right"], "split", axis=1))
    pooled = b.op("GlobalAveragePool", "pooled", b.op("Add", "both", "left", "right"))
    gate = b.op("Softmax", "gate", pooled)
    gated = b.op("Mul", "gated", gate, "left")
    b.op("Flatten", "features", b.op("GlobalMaxPool", "max", b.conv("last", gated, 4, 6)))
    p = place(Graph(b.model()), OPENVINO)
    assert {"first.relu", "gated", "last"} <= p.activations.keys()
    assert {"left", "both", "pooled"}.isdisjoint(p.activations)


def test_a_layer_kept_in_float_reads_what_was_computed(small: Any) -> None:
    p = place(Graph(small), OPENVINO, keep=("mid", "grouped"))
    assert {"running", "sum.relu"}.isdisjoint(p.activations)
    rounded = place(Graph(small), ONNXRUNTIME, keep=("mid", "grouped")).activations
    assert {"running", "sum.relu"} <= rounded.keys()  # else the operators before them are float


def _relu(source: str, name: str) -> Any:
    import onnx

    return onnx.helper.make_node("Relu", [source], [name], name=name)
