"""Layers that only files of others have: one-dimensional convolutions (channel attention), biases
that are computed, constants whose names are the ones that a repair would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.session import open_session  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.policy import OPENVINO  # noqa: E402
from edgereid.export.qdq import quantize  # noqa: E402
from edgereid.export.repair.bias import bias_shifts, with_shifted_biases  # noqa: E402
from edgereid.export.repair.judge import Judge  # noqa: E402
from edgereid.export.repair.layers import layers_of  # noqa: E402
from edgereid.export.repair.options import RepairOptions  # noqa: E402
from edgereid.export.repair.steps import mend  # noqa: E402
from tests.export.conftest import Builder  # noqa: E402
from tests.export.repair.conftest import calibrated  # noqa: E402


def with_odd_layers() -> Any:
    """A channel attention by a one-dimensional convolution, then a Gemm that adds a tensor."""
    b = Builder()
    x = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 6, 3))
    mean = b.op("GlobalAveragePool", "mean", x)
    row = b.op("Reshape", "row", mean, b.constant("as_row", np.array([0, 1, 6])))
    weight = b.constant("gate.weight", b.rng.normal(size=(1, 1, 3)).astype(np.float32))
    gate = b.op("Conv", "gate", row, weight, kernel_shape=[3], pads=[1, 1])
    gate = b.op("Sigmoid", "sigmoid", b.op("Relu", "gate.relu", gate))
    gate = b.op("Reshape", "column", gate, b.constant("as_column", np.array([0, 6, 1, 1])))
    gated = b.op("Relu", "gated.relu", b.conv("last", b.op("Mul", "gated", x, gate), 6, 6))
    flat = b.op("Flatten", "flat", b.op("GlobalAveragePool", "pooled", gated))
    head = b.constant("head.weight", b.rng.normal(size=(6, 6)).astype(np.float32))
    b.op("Gemm", "features", flat, head, flat)
    return b.model()


def test_a_network_with_odd_layers_is_repaired_by_all_steps(
    crops: np.ndarray, tmp_path: Path
) -> None:
    model = with_odd_layers()
    table = calibrated(model, crops[:16], tmp_path)
    (reference,) = open_session(model, 1).run(None, {"images": crops[16:24]})
    judge = Judge(crops[16:24], reference, 1)
    options = RepairOptions(scales="mse", bias_correction=True, rounding="learned")
    repaired = mend(model, table, OPENVINO, crops[:16], options, judge)
    mended, errors = repaired.mended, repaired.errors
    assert errors["bias_correction"] < errors["none"]
    assert {"stem", "last", "gate"} <= mended.shifts.keys()
    assert "features" not in mended.shifts, "what it adds is computed: there is no bias to change"


def test_a_bias_that_has_the_name_of_another_layers_new_one_is_not_changed_for_that_one() -> None:
    b = Builder()
    name = b.constant("first/bias", np.full(3, 0.5, np.float32))
    w = b.constant("w", b.rng.normal(size=(3, 3, 1, 1)).astype(np.float32))
    first = b.op("Conv", "first", "images", w, name)
    second = b.op("Conv", "second", first, w, name)
    b.op("Flatten", "features", b.op("GlobalMaxPool", "max", second))
    model = b.model()
    changed = with_shifted_biases(model, {"first": np.ones(3, np.float32)})
    names = [i.name for i in changed.graph.initializer]
    assert len(names) == len(set(names))
    weights = Graph(changed).weights
    biases = {n.name: weights[n.input[2]] for n in changed.graph.node if n.op_type == "Conv"}
    np.testing.assert_array_equal(biases["first"], np.full(3, 1.5))
    np.testing.assert_array_equal(biases["second"], np.full(3, 0.5))


def test_a_computed_bias_of_a_convolution_is_left_alone(crops: np.ndarray, tmp_path: Path) -> None:
    b = Builder()
    x = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 6, 3))
    made = b.op("ReduceMean", "made", x, axes=[0, 2, 3], keepdims=0)
    weight = b.constant("w", b.rng.normal(size=(6, 6, 1, 1)).astype(np.float32))
    last = b.op("Conv", "last", x, weight, made)
    b.op("Flatten", "features", b.op("GlobalMaxPool", "max", last))
    model = b.model()
    table = calibrated(model, crops[:8], tmp_path)
    quantised, placement = quantize(model, table, OPENVINO)
    layers = layers_of(Graph(model), placement.weights)
    shifts = bias_shifts(model, quantised, layers, crops[:8], threads=1)
    assert shifts.keys() == {"stem"}
