"""The columns of a layer's input are what it multiplies; a network is rounded in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.table import CalibrationTable  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.policy import OPENVINO  # noqa: E402
from edgereid.export.qdq import quantize  # noqa: E402
from edgereid.export.repair import rounding  # noqa: E402
from edgereid.export.repair.layers import Layer, layers_of  # noqa: E402
from edgereid.export.repair.patches import columns  # noqa: E402
from edgereid.export.repair.rounding import learn_codes  # noqa: E402
from edgereid.export.weight_codes import WeightCodes, minmax  # noqa: E402
from tests.export.repair.conftest import evaluate  # noqa: E402


def single(kind: str, shape: tuple[int, ...], value: np.ndarray, **attributes: Any) -> Any:
    """A model of one layer without a bias, its Layer and its weight."""
    rng = np.random.default_rng(3)
    weight = rng.normal(size=shape).astype(np.float32)
    node = onnx.helper.make_node(kind, ["images", "w"], ["y"], name="n", **attributes)
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [onnx.helper.make_tensor_value_info("images", 1, value.shape)],
        [onnx.helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (layer,) = layers_of(Graph(model), ["w"])
    return model, layer, weight


@pytest.mark.parametrize(
    ("shape", "channels", "attributes"),
    [
        ((5, 4, 1, 1), 4, {}),
        ((6, 4, 3, 3), 4, {"pads": [1, 1, 1, 1]}),
        ((6, 4, 3, 2), 4, {"pads": [2, 0, 1, 1], "strides": [2, 1], "dilations": [1, 2]}),
        ((6, 2, 3, 3), 6, {"group": 3, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ((4, 1, 3, 3), 4, {"group": 4, "dilations": [2, 2], "pads": [2, 2, 2, 2]}),
        ((8, 1, 3, 3), 4, {"group": 4}),
        ((6, 4, 3, 2), 4, {"auto_pad": "SAME_UPPER", "strides": [2, 1]}),
        ((6, 4, 4, 4), 4, {"auto_pad": "SAME_LOWER", "strides": [3, 2]}),
        ((6, 4, 3, 3), 4, {"auto_pad": "SAME_UPPER", "dilations": [2, 3]}),
        ((6, 4, 1, 1), 4, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ((6, 4, 3, 3), 4, {"auto_pad": "VALID"}),
    ],
)
def test_weights_times_columns_are_the_convolution(
    shape: tuple[int, ...], channels: int, attributes: dict[str, Any]
) -> None:
    value = np.random.default_rng(0).normal(size=(1, channels, 11, 9)).astype(np.float32)
    model, layer, weight = single("Conv", shape, value, **attributes)
    x = columns(layer, shape, value, 10**6, np.random.default_rng(0))
    got = (layer.rows(weight) @ x).reshape(shape[0], -1)
    (want,) = evaluate(model, value)
    np.testing.assert_allclose(got, want[0].reshape(shape[0], -1), atol=1e-5)
    some = columns(layer, shape, value, 7, np.random.default_rng(0))
    assert some.shape == (*x.shape[:2], 7)
    every = {column.tobytes() for column in x.transpose(2, 0, 1)}
    assert {column.tobytes() for column in some.transpose(2, 0, 1)} <= every


@pytest.mark.parametrize(
    ("kind", "shape", "attributes"),
    [("Gemm", (5, 7), {"transB": 1}), ("Gemm", (7, 5), {}), ("MatMul", (7, 5), {})],
)
def test_weights_times_columns_are_the_product(
    kind: str, shape: tuple[int, int], attributes: dict[str, Any]
) -> None:
    value = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    model, layer, weight = single(kind, shape, value, **attributes)
    x = columns(layer, shape, value, 100, np.random.default_rng(0))
    (want,) = evaluate(model, value)
    np.testing.assert_allclose((layer.rows(weight) @ x)[0].T, want, atol=1e-5)
    np.testing.assert_array_equal(layer.unrows(layer.rows(weight), shape), weight)


@dataclass(frozen=True)
class Nearest:
    """The small network with its weights rounded to nearest."""

    weights: Any
    quantised: Any
    layers: list[Layer]
    codes: dict[str, WeightCodes]


@pytest.fixture
def nearest(small: Any, table: CalibrationTable) -> Nearest:
    graph = Graph(small)
    quantised, placement = quantize(small, table, OPENVINO)
    codes = {n: minmax(graph.weights[n], axis) for n, axis in placement.weights.items()}
    return Nearest(graph.weights, quantised, layers_of(graph, placement.weights), codes)


def test_a_layer_of_very_many_inputs_keeps_its_weights(
    small: Any, nearest: Nearest, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers, codes = nearest.layers, nearest.codes
    inputs = {n.weight: n.rows(nearest.weights[n.weight]).shape[2] for n in layers}
    monkeypatch.setattr(rounding, "_MOST_INPUTS", max(inputs.values()) - 1)
    learnt = learn_codes(nearest.quantised, small, layers, codes, crops[:24], threads=1)
    same = {n for n, code in learnt.items() if np.array_equal(code.integers, codes[n].integers)}
    large = {n for n, count in inputs.items() if count == max(inputs.values())}
    assert large <= same
    assert len(same) < len(codes)


def layer_error(model: Any, quantised: Any, layer: Layer, images: np.ndarray) -> float:
    """Squared error of a layer's output when only its weights are rounded."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    stored = Graph(quantised).weights
    for constant in changed.graph.initializer:
        if constant.name == layer.weight:
            integers, scale = stored[f"{layer.weight}/q"], stored[f"{layer.weight}/scale"]
            value = integers * scale.reshape(-1, *[1] * (integers.ndim - 1))
            constant.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.float32), constant.name))
    (got,), (want,) = (evaluate(m, images, layer.output) for m in (changed, model))
    return float(((got - want) ** 2).sum())


def test_every_layer_of_a_network_loses_less_at_its_output_also_in_many_passes(
    small: Any,
    table: CalibrationTable,
    nearest: Nearest,
    crops: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quantised, layers, codes = nearest.quantised, nearest.layers, nearest.codes
    assert {layer.weight for layer in layers} == codes.keys()
    for budget in (1 << 28, 20_000):
        monkeypatch.setattr(rounding, "GRAM_BYTES", budget)
        learnt = learn_codes(quantised, small, layers, codes, crops[:24], threads=1)
        assert learnt.keys() == codes.keys()
        mended, _ = quantize(small, table, OPENVINO, codes=learnt)
        errors = np.array(
            [
                [layer_error(small, m, layer, crops[34:]) for m in (quantised, mended)]
                for layer in layers
                if nearest.weights[layer.weight].ndim == 4
            ]
        )
        assert (errors[:, 1] < 1.1 * errors[:, 0]).mean() > 0.8
        assert errors[:, 1].sum() < 0.8 * errors[:, 0].sum()
        for name, code in learnt.items():
            np.testing.assert_array_equal(code.scale, codes[name].scale)
