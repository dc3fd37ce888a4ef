"""Networks that do nothing but arithmetic a runtime is good at: their rate is the machine's peak.

They take small images and give embeddings, so that they run through the very engines, with the
very settings, that real networks run through. A run is short (some milliseconds), so that among
many some are undisturbed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIDE = 32  # of the image; a map has _SIDE * _SIDE positions
_SCALE = np.float32(4 / 255)  # of activations in 8 bits, after a ReLU: no zero point to correct


@dataclass(slots=True)
class _Builder:
    """Collects nodes and tensors; with ``int8`` every layer stands between quantizers."""

    int8: bool
    nodes: list[Any]
    tensors: list[Any]
    rng: np.random.Generator

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def data(self, name: str) -> str:
        """A tensor as the next layer reads it."""
        if not self.int8:
            return name
        grid = [f"{name}.scale", f"{name}.zero"]
        self.constant(grid[0], np.asarray(_SCALE))
        self.constant(grid[1], np.asarray(np.uint8(0)))
        self.node("QuantizeLinear", [name, *grid], f"{name}.q")
        return self.node("DequantizeLinear", [f"{name}.q", *grid], f"{name}.dq")

    def weight(self, name: str, shape: tuple[int, ...], fan_in: int, axis: int) -> str:
        """Constant weights that keep activations near one; in 8 bits one scale a channel."""
        value = (self.rng.standard_normal(shape) / np.sqrt(fan_in / 2)).astype(np.float32)
        if not self.int8:
            return self.constant(name, value)
        others = tuple(a for a in range(value.ndim) if a != axis)
        scale = (np.abs(value).max(axis=others, keepdims=True) / 127).astype(np.float32)
        self.constant(f"{name}.i", np.rint(value / scale).astype(np.int8))
        self.constant(f"{name}.scale", scale.reshape(-1))
        self.constant(f"{name}.zero", np.zeros(scale.size, np.int8))
        grid = [f"{name}.scale", f"{name}.zero"]
        return self.node("DequantizeLinear", [f"{name}.i", *grid], name, axis=axis)

    def conv(self, x: str, name: str, channels: tuple[int, int], kernel: int) -> str:
        """A convolution of as many positions as it is given, and a ReLU."""
        fan_in = channels[0] * kernel**2
        w = self.weight(f"{name}.w", (channels[1], channels[0], kernel, kernel), fan_in, 0)
        pads = [kernel // 2] * 4
        return self.node(
            "Relu", [self.node("Conv", [self.data(x), w], name, pads=pads)], f"{name}.r"
        )

    def product(self, x: str, name: str, size: int) -> str:
        w = self.weight(f"{name}.w", (size, size), size, 1)
        return self.node("Relu", [self.node("MatMul", [self.data(x), w], name)], f"{name}.r")


def _convolutions(b: _Builder) -> str:
    """Two 3x3 convolutions of 256 channels: 1.2 G multiply-adds."""
    x = b.conv("images", "stem", (3, 256), 3)
    for i in range(2):
        x = b.conv(x, f"conv{i}", (256, 256), 3)
    return b.node("Flatten", [b.node("GlobalAveragePool", [x], "pool")], "features")


def _products(b: _Builder) -> str:
    """A product of square matrices of 1024: 1.1 G multiply-adds."""
    size = _SIDE * _SIDE
    x = b.conv("images", "stem", (3, size), 1)
    shape = b.constant("shape", np.array([0, size, size], np.int64))
    x = b.node("Reshape", [x, shape], "matrix")
    x = b.product(x, "product", size)
    return b.node("ReduceMean", [x], "features", axes=[1], keepdims=0)


#: What a probe is called -> how it is built.
PROBES: dict[str, Callable[[_Builder], str]] = {
    "3x3 convolutions": _convolutions,
    "matrix products": _products,
}


def probe(kind: str, int8: bool = False) -> Any:
    """The onnx.ModelProto of a probe, float or Q/DQ."""
    from onnx import helper

    builder = _Builder(int8, [], [], np.random.default_rng(0))
    output = PROBES[kind](builder)
    graph = helper.make_graph(
        builder.nodes,
        kind.replace(" ", "_"),
        [helper.make_tensor_value_info("images", 1, ["N", 3, _SIDE, _SIDE])],
        [helper.make_tensor_value_info(output, 1, ["N", None])],
        builder.tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_probe(path: Path, kind: str, int8: bool = False) -> int:
    """Write a probe; returns the multiply-adds of one image."""
    from edgereid.bench.roofline.network import count

    model = probe(kind, int8)
    path.write_bytes(model.SerializeToString())
    return count(model, batch=1).macs


def probe_images() -> NDArray[np.float32]:
    """What a probe is fed: (1, 3, side, side) float32, no zeros."""
    return np.random.default_rng(1).random((1, 3, _SIDE, _SIDE), dtype=np.float32) + 0.1
