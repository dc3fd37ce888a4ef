"""Bias correction: every layer's mean becomes the float network's, in the order of the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.table import CalibrationTable
from edgereid.errors import InputError
from edgereid.export.graph import Graph
from edgereid.export.policy import OPENVINO, POLICIES, PlacementPolicy
from edgereid.export.qdq import quantize
from edgereid.export.repair.bias import bias_shifts, with_shifted_biases
from edgereid.export.repair.layers import layers_of
from tests.export.repair.conftest import calibrated, evaluate


def channel_means(model: Any, images: np.ndarray, tensor: str) -> np.ndarray:
    (value,) = evaluate(model, images, tensor)
    return value.mean(axis=tuple(i for i in range(value.ndim) if i != 1))


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_the_shifts_are_those_of_one_layer_after_another(
    small: Any, table: CalibrationTable, crops: np.ndarray, policy: PlacementPolicy
) -> None:
    """Brute force: a whole run of the reference evaluator for each layer."""
    images = crops[:16]
    quantised, placement = quantize(small, table, policy)
    layers = layers_of(Graph(small), placement.weights)
    found = bias_shifts(small, quantised, layers, images, threads=1)
    assert list(found) == [layer.node.name for layer in layers]
    done: dict[str, np.ndarray] = {}
    for layer in layers:
        current, _ = quantize(with_shifted_biases(small, done), table, policy)
        wanted = channel_means(small, images, layer.output)
        done[layer.node.name] = (wanted - channel_means(current, images, layer.output)).astype(
            np.float32
        )
    for name, shift in found.items():
        # One value that another order of summing moves over a rounding edge moves a mean a bit.
        np.testing.assert_allclose(shift, done[name], atol=2e-3)
        assert np.abs(shift).max() > 0


def test_corrected_layers_have_the_means_of_the_float_network(
    small: Any, table: CalibrationTable, crops: np.ndarray
) -> None:
    images = crops[:16]
    plain, placement = quantize(small, table, OPENVINO)
    layers = layers_of(Graph(small), placement.weights)
    shifted = with_shifted_biases(small, bias_shifts(small, plain, layers, images, threads=1))
    corrected, _ = quantize(shifted, table, OPENVINO)
    for layer in layers:
        want, before, after = (
            channel_means(m, images, layer.output) for m in (small, plain, corrected)
        )
        assert np.abs(after - want).max() < 0.25 * np.abs(before - want).max() + 1e-4, layer.output


def test_a_layer_without_a_bias_gets_one_and_a_shared_one_is_not_changed_for_others() -> None:
    from tests.export.conftest import Builder

    b = Builder()
    first = b.conv("first", "images", 3, 3)
    b.op("Conv", "second", first, b.constant("w", np.ones((3, 3, 1, 1), np.float32)), "first.bias")
    third = b.conv("third", "second", 3, 6, bias=False)
    b.op("Flatten", "features", b.op("GlobalMaxPool", "max", third))
    model = b.model()
    one = np.ones(3, np.float32)
    changed = with_shifted_biases(model, {"second": one, "third": np.ones(6, np.float32)})
    weights, before = Graph(changed).weights, Graph(model).weights
    np.testing.assert_array_equal(weights["first.bias"], before["first.bias"])
    np.testing.assert_array_equal(weights["second/bias"], before["first.bias"] + one)
    np.testing.assert_array_equal(weights["third/bias"], np.ones(6))


def test_the_batches_of_a_network_with_a_fixed_batch_are_its_own(
    small: Any, crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import copy

    fixed = copy.deepcopy(small)
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    table = calibrated(fixed, crops[:8], tmp_path_factory.mktemp("fixed"))
    quantised, placement = quantize(fixed, table, OPENVINO)
    layers = layers_of(Graph(fixed), placement.weights)
    shifts = bias_shifts(fixed, quantised, layers, crops[:8], threads=1)
    assert all(np.isfinite(shift).all() for shift in shifts.values())


def test_an_operator_set_with_axes_as_inputs_is_understood(
    make_small: Callable[..., Any], table: CalibrationTable, crops: np.ndarray
) -> None:
    import onnx

    model = onnx.version_converter.convert_version(make_small(17), 18)
    quantised, placement = quantize(model, table, OPENVINO)
    layers = layers_of(Graph(model), placement.weights)
    assert bias_shifts(model, quantised, layers, crops[:4], threads=1)


def test_a_shift_for_another_number_of_channels_is_refused(small: Any) -> None:
    with pytest.raises(InputError, match="'stem' is changed by"):
        with_shifted_biases(small, {"stem": np.ones(3, np.float32)})
