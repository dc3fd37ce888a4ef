"""Any graph of these operators becomes a valid file that agrees with FP32 and casts no more than it
must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
from edgereid.export.typed.cast import typed_fp16  # noqa: E402

ONE = ("Relu", "Sigmoid", "Abs", "softmax", "conv", "pair", "unit", "cube", "shape")
TWO = ("Add", "Mul", "Max")


def add(s: Any, kind: str, x: str, y: str) -> str:
    """One more tensor of the image's shape."""
    if kind == "softmax":
        return str(s.op("Softmax", x, axis=1))
    if kind == "conv":
        return str(s.conv(x))
    if kind == "pair":
        return str(s.pair(x, 0.05))
    if kind == "unit":
        return str(s.op("Div", x, s.op("ReduceL2", s.op("Exp", x), axes=[1], keepdims=1)))
    if kind == "cube":
        power = s.op("Pow", s.op("Sigmoid", x), s.const(3.0))
        return str(s.op("Pow", power, s.const(1 / 3)))
    if kind == "shape":
        return str(s.op("Reshape", x, s.op("Shape", y)))
    return str(s.op(kind, x, y) if kind in TWO else s.op(kind, x))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(ONE + TWO), st.integers(0, 99), st.integers(0, 99)),
        min_size=1,
        max_size=9,
    ),
    keep_io=st.booleans(),
)
# a dequantized tensor that is a result, read in FP32 before
@example(
    steps=[("Relu", 0, 0)] * 4 + [("pair", 0, 0), ("softmax", 41, 0)] + [("Relu", 0, 0)] * 3,
    keep_io=False,
)
def test_a_random_graph_is_typed_rightly(
    steps: list[tuple[str, int, int]], keep_io: bool, sketch: Any, run: Any, run_half: Any
) -> None:
    s = sketch()
    tensors = ["images"]
    for kind, i, j in steps:
        tensors.append(add(s, kind, tensors[i % len(tensors)], tensors[j % len(tensors)]))
    model = s.model(*dict.fromkeys((tensors[-1], tensors[max(1, len(tensors) // 2)])))
    typed, report = typed_fp16(model, keep_io=keep_io)  # checks the file in full
    images = np.random.default_rng(4).normal(size=(2, 8, 6, 4)).astype(np.float32)
    want, got = run(model, images), run_half(typed, given_as(images, keep_io))
    assert got.dtype == (np.float32 if keep_io else np.float16)
    # A quantizer may round the other way: 0.05, and a few layers behind it.
    assert np.abs(got - want).mean() <= 0.02 * (1 + np.abs(want).mean())

    makers = {n.output[0]: n for n in typed.graph.node}
    casts = [n for n in typed.graph.node if n.op_type == "Cast"]
    assert len(casts) == report.casts
    assert len({(n.input[0], n.attribute[0].i) for n in casts}) == len(casts)
    assert not any(n.input[0] in makers and makers[n.input[0]].op_type == "Cast" for n in casts)
    names = {name for n in typed.graph.node for name in n.input}
    assert names >= {i.name for i in typed.graph.initializer}, "no constant that nobody reads"


def given_as(images: np.ndarray, single: bool) -> np.ndarray:
    return images if single else images.astype(np.float16)
