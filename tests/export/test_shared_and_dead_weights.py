"""Weights that several layers read, and channels whose weights have died: both occur in files of
others and in trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.engines.base import EngineOptions  # noqa: E402
from edgereid.engines.open import open_engine  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.placement import place  # noqa: E402
from edgereid.export.policy import ONNXRUNTIME, OPENVINO, POLICIES, PlacementPolicy  # noqa: E402
from edgereid.export.qdq import quantize  # noqa: E402
from tests.export.conftest import Builder  # noqa: E402
from tests.export.test_qdq_engines import QUANTUM, _finish, reference, table_of  # noqa: E402


def with_dead_channels() -> Any:
    """Two convolutions; channels of the first have no, or next to no, weights but a bias."""
    b = Builder()
    x = b.op("Relu", "first.relu", b.conv("first", "images", 3, 8, 3))
    weight, bias = (onnx.numpy_helper.to_array(c).copy() for c in b.constants[:2])
    weight[:4] *= np.array([0, 1e-6, 1e-12, 1e-4], np.float32)[:, None, None, None]
    bias[:4] = 1.0
    bias[7] = 0.0
    weight[7] = 0.0
    for constant, value in zip(b.constants[:2], (weight, bias), strict=True):
        constant.CopyFrom(onnx.numpy_helper.from_array(value, constant.name))
    return _finish(b, b.conv("second", x, 8, 8), 8)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_a_channel_with_hardly_any_weights_keeps_its_bias_in_8_bit_kernels(
    policy: PlacementPolicy, runtime: str, tmp_path: Path
) -> None:
    """Runtimes store a bias as a 32-bit integer on the product of the scales."""
    pytest.importorskip(runtime)
    model = with_dead_channels()
    images = np.random.default_rng(0).uniform(-1, 1, size=(2, 3, 16, 8)).astype(np.float32)
    quantised, _ = quantize(model, table_of(model), policy)
    path = tmp_path / "model.onnx"
    onnx.save(quantised, str(path))
    with open_engine(path, EngineOptions(threads=1, precision="f32"), runtime=runtime) as engine:
        got = engine.run(images)
    assert np.abs(got - reference(quantised, images)).max() <= QUANTUM * 1.0001
    assert np.abs(got - reference(model, images)).max() <= 5 * QUANTUM


def test_the_bias_of_every_channel_fits_32_bits_and_other_scales_stay() -> None:
    model = with_dead_channels()
    table = table_of(model)
    quantised, placement = quantize(model, table, ONNXRUNTIME)
    before, stored = Graph(model).weights, Graph(quantised).weights
    for name in placement.weights:
        scale = stored[f"{name}/scale"].astype(np.float64)
        bias = before[name.replace("weight", "bias")].astype(np.float64)
        unit = QUANTUM * scale
        assert (np.abs(bias) / unit <= 2**30 * 1.001).all()
        assert (unit >= np.finfo(np.float32).tiny * 0.999).all()
    peaks = np.abs(before["first.weight"]).max(axis=(1, 2, 3))[4:7]
    np.testing.assert_array_equal(stored["first.weight/scale"][4:7], peaks / np.float32(127))


def sharing() -> Any:
    """Two convolutions, one behind the other, that read the same weights."""
    b = Builder()
    x = b.op("Relu", "first.relu", b.conv("first", "images", 3, 6, 3))
    x = b.op("Relu", "a.relu", b.conv("a", x, 6, 6))
    b.op("Conv", "b", x, "a.weight", "a.bias", kernel_shape=[1, 1])
    return _finish(b, "b", 6)


@pytest.mark.parametrize("policy", [ONNXRUNTIME, OPENVINO], ids=lambda p: p.target)
@pytest.mark.parametrize(("kept", "other"), [("a", "b"), ("b", "a")])
def test_a_layer_kept_in_float_has_float_weights_though_another_shares_them(
    policy: PlacementPolicy, kept: str, other: str
) -> None:
    model = sharing()
    placement = place(Graph(model), policy, keep=[kept])
    assert (placement.precision[kept], placement.precision[other]) == ("f32", "int8")
    quantised, _ = quantize(model, table_of(model), policy, keep=[kept])
    nodes = {n.name: n for n in quantised.graph.node}
    assert nodes[kept].input[1] == "a.weight"
    assert nodes[other].input[1] == "a.weight/dq"
    assert {"a.weight", "a.weight/q"} <= Graph(quantised).weights.keys()


def test_a_constant_that_is_weights_and_something_else_is_8_bits_as_weights_only() -> None:
    model = sharing()
    node = next(n for n in model.graph.node if n.name == "features")
    total = onnx.helper.make_node("ReduceSum", ["a.weight"], ["mass"], name="mass", keepdims=0)
    add = onnx.helper.make_node("Add", [node.input[0], "mass"], ["moved"], name="moved")
    node.input[0] = "moved"
    nodes = [*model.graph.node[:-1], total, add, node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    quantised, _ = quantize(model, table_of(model), OPENVINO)
    reads = {n.name: list(n.input) for n in quantised.graph.node}
    assert reads["mass"] == ["a.weight"]
    assert reads["a"][1] == reads["b"][1] == "a.weight/dq"


def test_weights_shared_along_different_axes_are_stored_along_the_first_ones() -> None:
    b = Builder()
    x = b.op("Flatten", "flat", b.op("GlobalAveragePool", "mean", "images"))
    weight = b.constant("w", b.rng.normal(size=(3, 3)).astype(np.float32))
    first = b.op("Gemm", "one", x, weight, transB=1)
    b.op("Gemm", "features", b.op("Relu", "relu", first), weight)
    model = b.model()
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    placement = place(Graph(model), OPENVINO)
    assert placement.weights == {"w": 0}
    assert placement.precision["features"] == "f32"
    quantised, _ = quantize(model, table_of(model), OPENVINO)
    reads = {n.name: list(n.input) for n in quantised.graph.node}
    assert (reads["one"][1], reads["features"][1]) == ("w/dq", "w")


def test_poolings_in_a_row_stay_on_the_grid_of_what_is_pooled_first() -> None:
    b = Builder()
    x = b.op("Relu", "first.relu", b.conv("first", "images", 3, 6, 3))
    for name in ("one", "two"):
        x = b.op("MaxPool", name, x, kernel_shape=[3, 3], pads=[1] * 4)
    model = _finish(b, b.conv("last", x, 6, 6), 6)
    placement = place(Graph(model), OPENVINO)
    assert {placement.activations[n] for n in ("first.relu", "one", "two")} == {"first.relu"}


def test_products_count_among_the_multiply_adds() -> None:
    """Attention multiplies as well: it would flatter to leave it out."""
    b = Builder()
    x = b.conv("first", "images", 3, 8, 3)
    places = b.op("Reshape", "places", x, b.constant("to", np.array([0, 8, 128])))
    turned = b.op("Transpose", "turned", places, perm=[0, 2, 1])
    b.op("MatMul", "features", turned, places)  # 128 x 128, 8 multiply-adds each
    model = b.model()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    layer = 3 * 3 * 3 * 8 * 128
    share = place(Graph(model), OPENVINO).int8_share
    assert share == pytest.approx(layer / (layer + 128 * 128 * 8))
