"""A builder of minimal graphs: one place that keeps or breaks one rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402


class Sketch:
    """Adds nodes to a graph whose input is ``images``; every method returns a tensor's name."""

    def __init__(
        self, opset: int = 17, shape: Any = ("batch", 8, 16, 8), dtype: int = 1, seed: int = 3
    ) -> None:
        self.opset, self.shape, self.dtype = opset, shape, dtype
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.opsets = [("", opset)]

    def const(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        array = value if isinstance(value, np.ndarray | np.generic) else np.float32(value)
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        outs = [name, *(f"{name}:{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(kind, list(inputs), outs, name=name, **attributes))
        return name

    def pair(
        self, x: str, zero: Any = 0, scale: Any = 0.05, dtype: Any = np.int8, **attributes: Any
    ) -> str:
        """QuantizeLinear and DequantizeLinear."""
        given = [self.const(scale)]
        if zero is not None:
            given.append(self.const(np.asarray(zero, dtype)))
        q = self.op("QuantizeLinear", x, *given, **attributes)
        return self.op("DequantizeLinear", q, *given, **attributes)

    def levels(self, *shape: int) -> Any:
        """Weights of -127..127, spread as a normal distribution is, each channel up to the end."""
        w = np.clip(self.rng.normal(size=shape) * 40, -120, 120).round()
        w.reshape(shape[0], -1)[:, 0] = 127
        return w.astype(np.int8)

    def weight(self, levels: Any, axis: int | None = 0, scale: Any = None, zero: Any = None) -> str:
        """DequantizeLinear of stored integers, a scale for each index of ``axis`` (None: one)."""
        count = () if axis is None else (levels.shape[axis],)
        scale = np.full(count, 0.01, np.float32) if scale is None else scale
        zero = np.zeros(np.shape(scale), levels.dtype) if zero is None else zero
        extra = {} if axis is None else {"axis": axis}
        given = [self.const(levels), self.const(scale), self.const(zero)]
        return self.op("DequantizeLinear", *given, **extra)

    def conv(self, x: str, w: str = "", group: int = 1, bias: str = "") -> str:
        w = w or self.weight(self.levels(8, 8 // group, 1, 1))
        return self.op("Conv", x, w, *([bias] if bias else []), group=group)

    def model(self, out: str) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "sketch",
            [helper.make_tensor_value_info("images", self.dtype, self.shape)],
            [helper.make_tensor_value_info(out, 0, None)],
            self.constants,
        )
        opsets = [helper.make_opsetid(*o) for o in self.opsets]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture
def sketch() -> type[Sketch]:
    return Sketch
