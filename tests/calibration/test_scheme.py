"""The quantisation law against ONNX's own reference implementation."""

from __future__ import annotations

import numpy as np
import pytest

from edgereid.calibration.scheme import INT8, SCHEMES, UINT8, UINT8_AFFINE, Range, Scheme
from edgereid.errors import UsageError

onnx = pytest.importorskip("onnx")


def onnx_fake_quantize(x: np.ndarray, scale: np.float32, zero: int, dtype: str) -> np.ndarray:
    """DequantizeLinear(QuantizeLinear(x)) by ONNX's reference evaluator."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    kind = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8}[dtype]
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ],
        "law",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor("s", TensorProto.FLOAT, [], [float(scale)]),
            helper.make_tensor("z", kind, [], [zero]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    return np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_the_law_is_onnx_quantize_then_dequantize(scheme: Scheme) -> None:
    covered = Range(0.0 if scheme is UINT8 else -1.7, 3.1)
    scale, zero = scheme.parameters(covered)
    halves = (np.arange(-300, 300, dtype=np.float32) + np.float32(0.5)) * scale  # ties
    x = np.concatenate([np.linspace(-6, 6, 999, dtype=np.float32), halves])
    want = onnx_fake_quantize(x, scale, zero, scheme.dtype)
    np.testing.assert_array_equal(scheme.fake_quantize(x, covered), want)


@pytest.mark.parametrize(
    ("scheme", "covered", "scale", "zero"),
    [
        (INT8, Range(-1.27, 0.5), 0.01, 0),
        (INT8, Range(0.0, 2.54), 0.02, 0),
        (UINT8, Range(0.0, 2.55), 0.01, 0),
        (UINT8_AFFINE, Range(-1.0, 1.55), 0.01, 100),
        (UINT8_AFFINE, Range(-2.55, 0.0), 0.01, 255),
    ],
)
def test_scale_and_zero_point_in_closed_form(
    scheme: Scheme, covered: Range, scale: float, zero: int
) -> None:
    got = scheme.parameters(covered)
    assert got[0].dtype == np.float32
    assert got == (np.float32(scale), zero)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_zero_is_exact_and_a_tensor_of_zeros_has_a_scale(scheme: Scheme) -> None:
    assert scheme.parameters(Range(0.0, 0.0))[0] > 0
    for covered in (Range(0.0, 0.0), Range(0.0, 0.37), Range(-0.11, 0.37)):
        assert scheme.fake_quantize(np.zeros(1), covered)[0] == 0.0


@pytest.mark.parametrize(("low", "high"), [(0.1, 1.0), (-1.0, -0.1), (0.0, np.inf), (np.nan, 1.0)])
def test_a_range_without_zero_is_refused(low: float, high: float) -> None:
    with pytest.raises(UsageError, match="range holds zero"):
        Range(low, high)
