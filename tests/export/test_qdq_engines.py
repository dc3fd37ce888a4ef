"""Q/DQ models in the engines that run them: what ONNX's reference evaluator gives, to a quantum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.scheme import SCHEMES, Range  # noqa: E402
from edgereid.calibration.table import CalibrationTable, Entry  # noqa: E402
from edgereid.engines.base import EngineOptions  # noqa: E402
from edgereid.engines.open import open_engine  # noqa: E402
from edgereid.export.policy import POLICIES, PlacementPolicy  # noqa: E402
from edgereid.export.qdq import quantize  # noqa: E402
from tests.export.conftest import Builder  # noqa: E402

QUANTUM = 0.02  # of every activation's grid


def single_layer() -> Any:
    b = Builder()
    x = b.conv("conv", "images", 3, 6, 3)
    return _finish(b, x, 6)


def linear_pair() -> Any:
    b = Builder()
    x = b.conv("dw", b.conv("pw", "images", 3, 8, bias=False), 8, 8, 3, group=8)
    return _finish(b, x, 8)


def residual() -> Any:
    b = Builder()
    stem = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 6))
    x = b.op("Add", "sum", b.conv("branch", stem, 6, 6, 3), stem)
    return _finish(b, b.op("Relu", "sum.relu", x), 6)


def pooled() -> Any:
    b = Builder()
    stem = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 6))
    pool = b.op("MaxPool", "pool", stem, kernel_shape=[2, 2], strides=[2, 2])
    mean = b.op("AveragePool", "avg", b.conv("mid", pool, 6, 6), kernel_shape=[2, 2])
    return _finish(b, b.conv("last", mean, 6, 6), 6)


def shuffled() -> Any:
    """Half of the channels pass; a transposition mixes both halves."""
    b = Builder()
    x = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 8))
    axis, zero, four, eight = (b.constant(n, np.array([v])) for n, v in
                               (("axis", 1), ("zero", 0), ("four", 4), ("eight", 8)))  # fmt: skip
    left = b.op("Slice", "left", x, zero, four, axis)
    right = b.conv("right", b.op("Slice", "right.in", x, four, eight, axis), 4, 4)
    both = b.op("Concat", "both", left, b.op("Relu", "right.relu", right), axis=1)
    groups = b.op("Reshape", "groups", both, b.constant("split", np.array([0, 2, 4, 16, 8])))
    turned = b.op("Transpose", "turned", groups, perm=[0, 2, 1, 3, 4])
    out = b.op("Reshape", "out", turned, b.constant("whole", np.array([0, 8, 16, 8])))
    return _finish(b, b.conv("last", out, 8, 6), 6)


def _finish(b: Builder, x: str, channels: int) -> Any:
    """The last layer's output as it is, flattened: every value of it is compared."""
    assert channels in (6, 8)
    b.op("Flatten", "features", x)
    model = b.model()
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    for size in ("batch", None):
        dim = model.graph.output[0].type.tensor_type.shape.dim.add()
        if size:
            dim.dim_param = size
    return model


def table_of(model: Any) -> CalibrationTable:
    """Grids of one quantum for all tensors, chosen so that they hold the values."""
    names = ["images", *(name for node in model.graph.node for name in node.output)]
    signed = Range(-127 * QUANTUM, 127 * QUANTUM)
    ranges = {
        "int8": signed,
        "uint8": Range(0.0, 255 * QUANTUM),
        "uint8_affine": Range(-128 * QUANTUM, 127 * QUANTUM),
    }
    assert ranges.keys() == SCHEMES.keys()
    lows = {n: 0.0 if "relu" in n or n == "pool" else -1.0 for n in names}
    entries = {n: Entry(lows[n], 2.0, 1, "minmax", ranges) for n in names}
    return CalibrationTable(entries | {f"shared/{n}": e for n, e in entries.items()})


def reference(model: Any, images: np.ndarray) -> np.ndarray:
    from onnx.reference import ReferenceEvaluator

    # The evaluator has DequantizeLinear from operator set 19 on; what it computes is the same.
    evaluator = ReferenceEvaluator(onnx.version_converter.convert_version(model, 19))
    return np.asarray(evaluator.run(None, {"images": images})[0])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("make", [single_layer, linear_pair, residual, pooled, shuffled])
def test_an_engine_gives_what_the_reference_evaluator_gives_to_one_quantum(
    make: Callable[[], Any], policy: PlacementPolicy, runtime: str, tmp_path: Path
) -> None:
    pytest.importorskip(runtime)
    model = make()
    images = np.random.default_rng(0).uniform(-1, 1, size=(2, 3, 16, 8)).astype(np.float32)
    quantised, placement = quantize(model, table_of(model), policy)
    want = reference(quantised, images)
    path = tmp_path / "model.onnx"
    onnx.save(quantised, str(path))
    options = EngineOptions(threads=1, precision="f32")
    with open_engine(path, options, runtime=runtime) as engine:
        got = engine.run(images)
    difference = np.abs(got - want)
    # Where a sum lies on a rounding edge, an engine that adds in another order may take the other.
    assert difference.max() <= QUANTUM * 1.0001
    if placement.activations:
        floats = reference(model, images)
        assert np.abs(want - floats).max() > QUANTUM / 4, (
            "the comparison is not of float with float"
        )
