"""Equalisation: the same float network, other weights; only where it is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.repair.equalize import equalize, find_pairs  # noqa: E402
from tests.export.conftest import Builder  # noqa: E402
from tests.export.repair.conftest import evaluate  # noqa: E402


def network(*, opset: int = 17) -> Any:
    """Pairs: linear to depthwise, over ReLU, over ReLU and pooling to groups of 2."""
    b = Builder()
    wide = b.conv("dw", b.conv("pw", "images", 3, 8, bias=False), 8, 8, 3, group=8)
    over = b.conv("over", b.op("Relu", "dw.relu", wide), 8, 6)
    pooled = b.op(
        "MaxPool", "pool", b.op("Relu", "over.relu", over), kernel_shape=[2, 2], strides=[2, 2]
    )
    last = b.conv("grouped", pooled, 6, 6, 3, group=2)
    b.op("GlobalAveragePool", "mean", last)
    b.op("Flatten", "features", "mean")
    return b.model(opset)


def test_the_float_network_computes_the_same(crops: np.ndarray) -> None:
    model = network()
    before = model.SerializeToString()
    changed, pairs = equalize(model, crops[:6], threads=1)
    assert model.SerializeToString() == before
    assert pairs == 3
    (want,), (got,) = evaluate(model, crops), evaluate(changed, crops)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())
    assert not np.array_equal(
        Graph(changed).weights["pw.weight"], Graph(model).weights["pw.weight"]
    )


def test_before_a_depthwise_convolution_all_channels_get_one_range(crops: np.ndarray) -> None:
    model = network()
    changed, _ = equalize(model, crops[:6], threads=1)
    (between,) = evaluate(changed, crops[:6], "pw")
    peaks = np.abs(between).max(axis=(2, 3)).mean(axis=0)
    assert peaks.max() / peaks.min() < 1.0001


def test_before_another_convolution_half_of_the_range_goes_to_its_weights(
    crops: np.ndarray,
) -> None:
    model = network()
    (before,) = evaluate(model, crops[:6], "dw.relu")
    changed, _ = equalize(model, crops[:6], threads=1)
    (after,) = evaluate(changed, crops[:6], "dw.relu")
    peaks = np.abs(before).max(axis=(2, 3)).mean(axis=0)
    reach = np.abs(Graph(model).weights["over.weight"]).max(axis=(0, 2, 3))
    wanted = np.sqrt(peaks / reach)
    factors = (before.max(axis=(0, 2, 3)) / after.max(axis=(0, 2, 3))) * np.median(wanted) / wanted
    np.testing.assert_allclose(factors, 1.0, rtol=1e-4)


def test_a_channel_that_is_always_zero_does_no_harm(crops: np.ndarray) -> None:
    model = network()
    for constant in model.graph.initializer:
        if constant.name in ("pw.weight", "over.weight"):
            value = onnx.numpy_helper.to_array(constant).copy()
            value[3] = 0
            constant.CopyFrom(onnx.numpy_helper.from_array(value, constant.name))
    changed, _ = equalize(model, crops[:4], threads=1)
    (want,), (got,) = evaluate(model, crops), evaluate(changed, crops)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_nothing_is_scaled_across_a_sum_a_second_reader_an_output_or_another_function() -> None:
    b = Builder()
    stem = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 8))  # read twice
    left = b.op("Sigmoid", "left.sigmoid", b.conv("left", stem, 8, 8))
    right = b.conv("right", b.op("Clip", "capped", b.conv("a", left, 8, 8)), 8, 8)
    total = b.op("Add", "total", stem, right)
    b.op("Flatten", "features", b.op("GlobalMaxPool", "mean", b.conv("last", total, 8, 6)))
    assert find_pairs(Graph(b.model())) == []


def test_shared_weights_are_left_alone() -> None:
    b = Builder()
    first = b.conv("first", "images", 3, 3)
    b.op("Conv", "second", first, "first.weight", "first.bias", kernel_shape=[1, 1])
    b.op("Flatten", "features", b.op("GlobalMaxPool", "max", "second"))
    model = b.model()
    assert find_pairs(Graph(model)) == []
    assert equalize(model, np.ones((2, 3, 16, 8), np.float32), 1)[1] == 0


def test_an_operator_set_with_axes_as_inputs_is_understood(crops: np.ndarray) -> None:
    model = network(opset=18)
    changed, pairs = equalize(model, crops[:2], threads=1)
    assert pairs == 3
    (want,), (got,) = evaluate(model, crops[:4]), evaluate(changed, crops[:4])
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())
