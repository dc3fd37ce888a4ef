"""Constants and scales that FP16 does not have: found, handled, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
from edgereid.errors import InputError  # noqa: E402
from edgereid.export.typed.cast import typed_fp16  # noqa: E402
from edgereid.export.typed.constants import half, half_scale, half_weight  # noqa: E402
from edgereid.export.typed.rules import float32_layers  # noqa: E402

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
scales = st.floats(2.0**-126, 500.0, width=32)  # normal numbers of float32


def images(shape: tuple[int, ...] = (3, 8, 6, 4)) -> np.ndarray:
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def types(model: Any) -> dict[str, int]:
    """Type of every constant and every computed tensor."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    found = {i.name: i.data_type for i in graph.initializer}
    return found | {v.name: v.type.tensor_type.elem_type for v in graph.value_info}


def node(model: Any, name: str) -> Any:
    return next(n for n in model.graph.node if n.name == name)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1))
def test_a_bound_is_clamped_and_any_other_number_outside_is_refused(values: list[float]) -> None:
    array = np.asarray(values, np.float32)
    bound = half(array, True, "node")
    assert np.isfinite(bound).all()
    assert (bound == np.clip(array, -65504, 65504).astype(np.float16)).all()
    if np.abs(array).max() >= 65520:  # what rounds to infinity
        with pytest.raises(InputError, match="a constant of node reaches"):
            half(array, False, "node")
    else:
        assert (half(array, False, "node") == array.astype(np.float16)).all()


@given(scales)
def test_a_scale_stays_above_zero(scale: float) -> None:
    out = half_scale(np.asarray(scale, np.float32))
    assert out.dtype == np.float16
    assert out > 0


@settings(max_examples=200)
@given(st.lists(scales, min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.booleans())
def test_a_weight_moves_by_half_a_step_of_its_grid_at_most(
    values: list[float], seed: int, last: bool
) -> None:
    rng = np.random.default_rng(seed)
    scale = np.asarray(values, np.float32)
    levels = rng.integers(-127, 128, (3, len(scale)) if last else (len(scale), 3)).astype(np.int8)
    axis = 1 if last else 0
    anew, out, raised = half_weight(levels, scale, np.zeros((), np.int8), axis)
    shape = [1, -1] if last else [-1, 1]
    before = levels.astype(np.float64) * scale.reshape(shape).astype(np.float64)
    after = anew.astype(np.float64) * out.reshape(shape).astype(np.float64)
    assert (np.abs(after - before) <= 0.5 * out.reshape(shape).astype(np.float64)).all()
    assert raised <= (scale < 2.0**-14).sum()
    zeros = scale == np.float32(2.0**-126)
    assert (out[zeros] == np.float16(2.0**-14)).all(), "a normal number: lint asks for one"
    assert (out[(scale < 2.0**-24) & ~zeros] == np.float16(2.0**-24)).all()
    assert np.abs(anew.astype(int)).max() <= 127


def test_a_dead_channel_stays_dead_and_its_scale_positive(sketch: Any, run_half: Any) -> None:
    """A channel of zeros has the smallest scale there is; FP16 would make it 0."""
    s = sketch()
    levels = np.random.default_rng(0).integers(-127, 128, (8, 8, 1, 1)).astype(np.int8)
    levels[3] = 0
    scale = np.full(8, 0.01, np.float32)
    scale[3] = np.finfo(np.float32).tiny
    model = s.model(s.op("Conv", s.pair("images", 0.03), s.weight(levels, scale)))
    typed, report = typed_fp16(model)
    assert report.raised == 1
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in typed.graph.initializer}
    assert all((v > 0).all() for v in stored.values() if v.dtype == np.float16)
    assert (run_half(typed, images())[:, 3] == 0).all()


def test_a_tensor_of_zeros_does_not_keep_its_layer_from_fp16(sketch: Any, run_half: Any) -> None:
    s = sketch()
    levels = np.random.default_rng(0).integers(-127, 128, (8, 8, 1, 1)).astype(np.int8)
    dead = s.pair("images", np.finfo(np.float32).tiny)
    typed, report = typed_fp16(s.model(s.op("Conv", dead, s.weight(levels, np.full(8, 0.01)))))
    assert report.single == 0
    assert (run_half(typed, np.zeros((2, 8, 6, 4), np.float32)) == 0).all()
    bound = 8 * 127 * 2.0**-14 * 127 * 0.01  # it never lets through more
    assert np.abs(run_half(typed, images())).max() < bound
    stored = [onnx.numpy_helper.to_array(i) for i in typed.graph.initializer]
    assert all((v > 0).all() for v in stored if v.dtype == np.float16)


def test_bounds_beyond_the_range_become_the_range(sketch: Any, run: Any, run_half: Any) -> None:
    s = sketch()
    top = s.const(np.float32(3.4e38))
    model = s.model(s.conv(s.op("Clip", s.conv("images"), s.const(0.0), top)))
    typed, _ = typed_fp16(model)
    (bound,) = [i for i in typed.graph.initializer if i.name == top]
    assert onnx.numpy_helper.to_array(bound) == np.float16(65504)
    np.testing.assert_allclose(run_half(typed, images()), run(model, images()), atol=5e-3)


def test_weights_above_the_range_keep_their_layer_in_fp32(sketch: Any, run: Any) -> None:
    s = sketch()
    model = s.model(s.conv(s.conv("images", scale=1e6), scale=1e-6))
    typed, report = typed_fp16(model)
    assert list(report.float32.values()) == ["a constant above 65504 is infinity in FP16"]
    assert np.isfinite(run(typed, images())).all()


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 600.0])
def test_a_scale_that_fp16_lacks_keeps_quantizer_and_layer_in_fp32(
    scale: float, sketch: Any, run: Any
) -> None:
    s = sketch()
    levels = np.random.default_rng(0).integers(-127, 128, (8, 8, 1, 1)).astype(np.int8)
    layer = s.op("Conv", s.pair(s.op("Relu", "images"), scale), s.weight(levels, np.full(8, 0.01)))
    model = s.model(layer)
    typed, report = typed_fp16(model)
    assert set(report.float32.values()) == {
        "its scale, or what it stands for, is none of FP16's numbers",
        "float32 comes in and float32 is wanted",
    }
    assert not float32_layers(model), "a weakly typed build takes it as it is"
    kinds = types(typed)
    assert {kinds[n] for n in node(typed, layer).input} == {FLOAT}
    x = images() * scale * 40
    np.testing.assert_allclose(run(typed, x), run(model, x), rtol=1e-5, atol=1e-3 * scale)


def test_a_quantized_tensor_read_in_both_types_is_dequantized_twice(
    sketch: Any, run_half: Any, run: Any
) -> None:
    """A cast behind a dequantizer would keep its layer from running in 8 bits."""
    s = sketch()
    data = s.pair(s.conv("images"), 0.02)
    power = s.op("Pow", data, s.const(3.0))
    root = s.op("Pow", s.op("GlobalAveragePool", power), s.const(0.5))
    model = s.model(s.op("Add", s.op("Abs", s.conv(data)), s.op("Abs", root)))
    typed, _ = typed_fp16(model)
    twice = [n for n in typed.graph.node if n.op_type == "DequantizeLinear"]
    kinds = types(typed)
    assert sorted(kinds[n.output[0]] for n in twice) == [FLOAT, HALF]
    assert len({n.input[0] for n in twice}) == 1
    values = {i.name: onnx.numpy_helper.to_array(i) for i in typed.graph.initializer}
    assert len({float(values[n.input[1]]) for n in twice}) == 1, "both read the same numbers"


def test_an_integer_bias_becomes_the_numbers_it_stands_for(
    sketch: Any, run: Any, run_half: Any
) -> None:
    s = sketch()
    levels = np.random.default_rng(0).integers(-127, 128, (8, 8, 1, 1)).astype(np.int8)
    product = (0.03 * np.full(8, 1e-4)).astype(np.float32)
    bias = s.weight(np.arange(-4, 4).astype(np.int32) * 10_000, product)
    weight = s.weight(levels, np.full(8, 1e-4))
    model = s.model(s.op("Conv", s.pair("images", 0.03), weight, bias))
    typed, _ = typed_fp16(model)
    assert types(typed)[bias] == HALF
    np.testing.assert_allclose(run_half(typed, images()), run(model, images()), atol=1e-3)
