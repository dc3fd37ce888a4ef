"""Large activations: what overflows when everything is FP16 does not in the typed file.

ONNX's reference evaluator is the oracle: it rounds every float16 tensor to float16. Each case is
also run naively typed, and has to fail there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx")
from edgereid.export.typed.cast import typed_fp16

LARGE = 1000.0  # of activations: their cubes reach 1e9, the sum of an image 1e5


def gem(s: Any, x: str) -> str:
    """Generalised mean, p = 3, as the exporter writes it."""
    power = s.op("Pow", s.op("Clip", x, s.const(1e-6)), s.const(3.0))
    mean = s.op("ReduceMean", power, axes=[2, 3], keepdims=0)
    return str(s.op("Pow", mean, s.const(1 / 3)))


def gem_by_products(s: Any, x: str) -> str:
    cube = s.op("Mul", s.op("Mul", x, x), x)
    mean = s.op("GlobalAveragePool", cube)
    return str(s.op("Pow", mean, s.const(1 / 3)))


def unit(s: Any, x: str) -> str:
    flat = s.op("Flatten", x)
    norm = s.op("Clip", s.op("ReduceL2", flat, axes=[1], keepdims=1), s.const(1e-12))
    return str(s.op("Div", flat, norm))


def unit_by_hand(s: Any, x: str) -> str:
    flat = s.op("Flatten", x)
    total = s.op("ReduceSum", s.op("Mul", flat, flat), s.const(np.array([1])), keepdims=1)
    return str(s.op("Div", flat, s.op("Sqrt", s.op("Add", total, s.const(1e-12)))))


def unit_by_reciprocal(s: Any, x: str) -> str:
    flat = s.op("Flatten", x)
    square = s.op("ReduceSumSquare", flat, axes=[1], keepdims=1)
    return str(s.op("Mul", flat, s.op("Reciprocal", s.op("Sqrt", square))))


def long_mean(s: Any, x: str) -> str:
    total = s.op("ReduceSum", x, s.const(np.array([1, 2, 3])), keepdims=1)
    return str(s.op("Div", total, s.const(8 * 6 * 4.0)))


def softmax_by_hand(s: Any, x: str) -> str:
    e = s.op("Exp", s.op("Mul", x, s.const(0.05)))
    return str(s.op("Div", e, s.op("ReduceSum", e, s.const(np.array([1])), keepdims=1)))


def instance_norm(s: Any, x: str) -> str:
    one = (s.const(np.ones(8, np.float32)), s.const(np.zeros(8, np.float32)))
    return str(s.op("InstanceNormalization", x, *one))


def large_constant(s: Any, x: str) -> str:
    return str(s.op("Div", s.op("Mul", x, s.const(1e5)), s.const(1e6)))


def far_masked(s: Any, x: str) -> str:
    """Attention with a mask of -1e9, as transformers have it."""
    mask = np.zeros((1, 8, 6, 4), np.float32)
    mask[:, 4:] = -1e9
    return str(s.op("Softmax", s.op("Add", x, s.const(mask)), axis=1))


CASES = [
    gem, gem_by_products, unit, unit_by_hand, unit_by_reciprocal, long_mean, softmax_by_hand,
    instance_norm, large_constant,
]  # fmt: skip


def _images(top: float = LARGE) -> NDArray[np.float32]:
    rng = np.random.default_rng(11)
    return (rng.random((3, 8, 6, 4)) * top).astype(np.float32)


def _agrees(got: NDArray[Any], want: NDArray[Any]) -> bool:
    return bool(np.allclose(got, want, rtol=4e-3, atol=2e-3 * np.abs(want).max()))


@pytest.mark.parametrize("case", CASES)
def test_large_activations_survive(
    case: Callable[[Any, str], str], sketch: Any, run: Any, run_half: Any
) -> None:
    s = sketch()
    model = s.model(s.op("Neg", s.op("Neg", case(s, "images"))))
    typed, report = typed_fp16(model)
    assert report.half or report.single
    assert _agrees(run_half(typed, _images()), run(model, _images()))


@pytest.mark.parametrize("case", CASES)
def test_the_same_typed_naively_does_not(
    case: Callable[[Any, str], str], sketch: Any, run: Any, run_half: Any, naive: Any
) -> None:
    s = sketch()
    model = s.model(s.op("Neg", s.op("Neg", case(s, "images"))))
    if case is large_constant:
        with pytest.raises(Exception, match="float16 ends at 65504"):
            naive(model)
    else:
        assert not _agrees(run_half(naive(model), _images()), run(model, _images()))


def test_a_guard_against_zero_stays_one(sketch: Any, run_half: Any, naive: Any) -> None:
    """An image of zeros: 0 / max(0, 1e-12) is 0, and 0 / 0 where 1e-12 has become 0."""
    s = sketch()
    model = s.model(unit(s, "images"))
    zeros = np.zeros((1, 8, 6, 4), np.float32)
    assert (run_half(typed_fp16(model)[0], zeros) == 0).all()
    assert np.isnan(run_half(naive(model), zeros)).all()


def test_a_mask_far_below_the_range_still_masks(sketch: Any, run: Any, run_half: Any) -> None:
    s = sketch()
    model = s.model(far_masked(s, "images"))
    small = _images(4.0)
    out = run_half(typed_fp16(model)[0], small)
    assert (out[:, 4:] == 0).all()
    assert _agrees(out, run(model, small))


def test_the_layers_between_two_powers_are_fp32_and_what_follows_is_not(sketch: Any) -> None:
    s = sketch()
    last = s.conv(gem_by_products(s, s.conv("images")))
    _, report = typed_fp16(s.model(last))
    kinds = sorted(name.rstrip("0123456789") for name in report.float32)
    assert kinds == ["GlobalAveragePool", "Mul", "Mul", "Pow"]
    assert report.half == 2  # the convolutions


def test_what_calibration_saw_beyond_the_range_stays_fp32(
    sketch: Any, run: Any, run_half: Any
) -> None:
    """Nothing in the file says that these convolutions reach 1e5; a measurement does."""
    s = sketch()
    far = s.conv(s.op("Relu", s.conv("images", scale=40.0)), scale=1e-3)
    model = s.model(s.op("Relu", far))
    first, relu, second, last = (n.output[0] for n in model.graph.node)
    want = run(model, _images())
    assert np.isinf(run_half(typed_fp16(model)[0], _images())).any()
    peaks = {first: 1.2e5, relu: 1.2e5, second: 400.0, last: 400.0}
    typed, report = typed_fp16(model, peaks=peaks)
    seen = {name for name, why in report.float32.items() if "seen at 1.2e+05" in why}
    assert seen == {first, relu, second}
    assert _agrees(run_half(typed, _images()), want)
    assert typed_fp16(model, peaks=dict.fromkeys(peaks, 30_000.0))[1].single == 0
