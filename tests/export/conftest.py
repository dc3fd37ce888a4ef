"""A small network with every construct that the placement rules speak of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")


@dataclass
class Builder:
    """Adds layers to an ONNX graph; every method returns the name of its output."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def op(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(
            onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes)
        )
        return name

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def conv(
        self, name: str, x: str, i: int, o: int, k: int = 1, group: int = 1, bias: bool = True
    ) -> str:
        shape = (o, i // group, k, k)
        weight = self.rng.normal(size=shape) / np.sqrt(i // group * k * k)
        inputs = [x, self.constant(f"{name}.weight", weight.astype(np.float32))]
        if bias:
            inputs.append(
                self.constant(f"{name}.bias", self.rng.normal(size=o).astype(np.float32) / 4)
            )
        return self.op("Conv", name, *inputs, group=group, pads=[k // 2] * 4, kernel_shape=[k, k])

    def model(self, opset: int = 17) -> Any:
        graph = onnx.helper.make_graph(
            self.nodes,
            "small",
            [onnx.helper.make_tensor_value_info("images", 1, ["batch", 3, 16, 8])],
            [onnx.helper.make_tensor_value_info("features", 1, ["batch", 6])],
            self.constants,
        )
        opsets = [onnx.helper.make_opsetid("", opset)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.checker.check_model(model)
        return model


@pytest.fixture(scope="session")
def make_small() -> Callable[..., Any]:
    """stem, maximum pooling, pointwise -> depthwise, a running sum, a gate on the pooled map, a
    residual sum of two convolutions, a grouped convolution, average pooling, a linear head."""

    def make(opset: int = 17) -> Any:
        b = Builder()
        stem = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 8, 3))
        pool = b.op("MaxPool", "pool", stem, kernel_shape=[2, 2], strides=[2, 2])
        wide = b.conv("dw", b.conv("pw", pool, 8, 8, bias=False), 8, 8, 3, group=8)
        branch = b.op("Relu", "dw.relu", wide)
        total = b.op("Add", "running", pool, branch)
        middle = b.op("Relu", "mid.relu", b.conv("mid", total, 8, 8))
        mean = b.op("ReduceMean", "gate.mean", middle, axes=[2, 3], keepdims=1)
        gate = b.op("Softmax", "gate.softmax", b.conv("gate", mean, 8, 8), axis=1)
        gated = b.op("Mul", "gated", gate, middle)
        both = b.op("Add", "sum", b.conv("expand", gated, 8, 12), b.conv("short", pool, 8, 12))
        out = b.op("Relu", "sum.relu", both)
        grouped = b.op("Relu", "grouped.relu", b.conv("grouped", out, 12, 12, 1, group=2))
        less = b.op("AveragePool", "avg", grouped, kernel_shape=[2, 2], strides=[2, 2])
        last = b.op("Relu", "last.relu", b.conv("last", less, 12, 10))
        flat = b.op("ReduceMean", "flat", last, axes=[2, 3], keepdims=0)
        weight = b.constant("fc.weight", b.rng.normal(size=(6, 10)).astype(np.float32))
        bias = b.constant("fc.bias", b.rng.normal(size=6).astype(np.float32))
        b.op("Gemm", "features", flat, weight, bias, transB=1)
        return b.model(opset)

    return make


@pytest.fixture(scope="session")
def small(make_small: Callable[..., Any]) -> Any:
    return make_small()


@pytest.fixture(scope="session")
def crops() -> np.ndarray:
    """Images (40, 3, 16, 8) whose mean colours differ, so that features do."""
    rng = np.random.default_rng(7)
    colour = rng.normal(size=(40, 3, 1, 1))
    return (colour + 0.7 * rng.normal(size=(40, 3, 16, 8))).astype(np.float32)
