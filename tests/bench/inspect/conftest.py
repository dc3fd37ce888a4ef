"""Networks by the names in the samples, and layer information made of few words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATA = Path(__file__).parent / "data"
#: Of the network in the samples of 10.x and 11.x: a 5x5 convolution of 1 to 32 channels on 28x28,
#: one of 32 to 64 on 14x14, products of 3136 by 1024 and of 1024 by 10.
DIGITS_MACS = {
    "node_conv2d": 28 * 28 * 32 * 25,
    "node_conv2d_1": 14 * 14 * 64 * 32 * 25,
    "node_linear": 3136 * 1024,
    "node_linear_1": 1024 * 10,
}


def model_of(nodes: list[Any], weights: dict[str, Any], shape: list[Any], output: str) -> Any:
    """An onnx.ModelProto of one input ``x``."""
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info(output, 1, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def digits_network() -> Any:
    """The network of the samples ``ada-10`` and ``b200-11``, by its nodes' names."""
    from onnx import helper

    def node(op: str, inputs: list[str], output: str, name: str, **attributes: Any) -> Any:
        return helper.make_node(op, inputs, [output], name=name, **attributes)

    nodes = [
        node("Conv", ["x", "conv1.weight"], "conv2d", "node_conv2d", pads=[2, 2, 2, 2]),
        node("Relu", ["conv2d"], "relu", "node_relu"),
        node("MaxPool", ["relu"], "max_pool2d", "node_max_pool2d", kernel_shape=[2, 2],
             strides=[2, 2]),
        node("Conv", ["max_pool2d", "conv2.weight"], "conv2d_1", "node_conv2d_1",
             pads=[2, 2, 2, 2]),
        node("Relu", ["conv2d_1"], "relu_1", "node_relu_1"),
        node("MaxPool", ["relu_1"], "max_pool2d_1", "node_max_pool2d_1", kernel_shape=[2, 2],
             strides=[2, 2]),
        node("Reshape", ["max_pool2d_1", "view"], "flat", "node_view"),
        node("Gemm", ["flat", "gemm1.weight"], "linear", "node_linear", transB=1),
        node("Relu", ["linear"], "relu_2", "node_relu_2"),
        node("Gemm", ["relu_2", "gemm2.weight"], "linear_1", "node_linear_1", transB=1),
        node("Softmax", ["linear_1"], "y", "node_softmax"),
        node("ArgMax", ["y"], "z", "node_argmax"),
    ]  # fmt: skip
    weights = {
        "conv1.weight": np.zeros((32, 1, 5, 5), np.float32),
        "conv2.weight": np.zeros((64, 32, 5, 5), np.float32),
        "gemm1.weight": np.zeros((1024, 3136), np.float32),
        "gemm2.weight": np.zeros((10, 1024), np.float32),
        "view": np.array([-1, 3136], np.int64),
    }
    return model_of(nodes, weights, ["N", 1, 28, 28], "y")


def quantised_network() -> Any:
    """The first layers of the sample ``a100-int8``, by its nodes' names: three INT8 convolutions,
    the last with a residual sum."""
    from onnx import helper

    nodes, weights = [], {"scale": np.float32(1), "zero": np.int8(0)}

    def quantised(data: str, number: int, to: str | None = None) -> str:
        made = to or f"{data}_{number}"
        for k, (op, source, out) in enumerate(
            [("QuantizeLinear", data, f"{made}_q"), ("DequantizeLinear", f"{made}_q", made)]
        ):
            name = f"{op}_{number + 3 * k}"
            nodes.append(helper.make_node(op, [source, "scale", "zero"], [out], name=name))
        return made

    def convolution(data: str, weight: str, shape: tuple[int, ...], q: int, name: str) -> str:
        weights[weight] = np.zeros(shape, np.float32)
        kernel = quantised(weight, q)
        pad = [shape[-1] // 2] * 4
        made = f"{name}_out"
        nodes.append(helper.make_node("Conv", [data, kernel], [made], name=name, pads=pad))
        return made

    first = convolution(quantised("x", 2), "conv1.weight", (8, 3, 7, 7), 7, "Conv_9")
    nodes.append(helper.make_node("Relu", [first], ["r"], name="Relu_11"))
    pool = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    nodes.append(helper.make_node("MaxPool", ["r"], ["p"], name="MaxPool_12", **pool))
    pooled = quantised("p", 15)
    second = convolution(pooled, "layer1.0.conv1.weight", (8, 8, 3, 3), 20, "Conv_22")
    nodes.append(helper.make_node("Relu", [second], ["r2"], name="Relu_24"))
    inner = quantised("r2", 27)
    third = convolution(inner, "layer1.0.conv2.weight", (8, 8, 3, 3), 32, "Conv_34")
    nodes.append(helper.make_node("Add", [third, pooled], ["sum"], name="Add_42"))
    nodes.append(helper.make_node("Relu", ["sum"], ["y"], name="Relu_43"))
    return model_of(nodes, weights, ["N", 3, 32, 16], "y")


#: Of the three convolutions at 3 x 32 x 16, and 8 x 16 x 8 after the pooling.
QUANTISED_MACS = {
    "Conv_9": 32 * 16 * 8 * 3 * 49,
    "Conv_22": 16 * 8 * 8 * 8 * 9,
    "Conv_34": 16 * 8 * 8 * 8 * 9,
}


def layer_text(
    name: str,
    kind: str = "CaskConvolution",
    reads: tuple[str, ...] = ("Int8",),
    **more: Any,
) -> dict[str, Any]:
    """A layer as 8.x to 10.x tell it."""
    ends = [{"Name": f"t{i}", "Format/Datatype": kind} for i, kind in enumerate(reads)]
    return {"Name": name, "LayerType": kind, "Inputs": ends, "Outputs": [], **more}


@pytest.fixture(scope="session")
def data() -> Path:
    return DATA


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a file: layers, a profile (a mapping of names to milliseconds), a text or a model."""

    def write(name: str, content: Any) -> Path:
        path = tmp_path / name
        if isinstance(content, dict) and "Layers" not in content:
            content = [{"count": 10}, *({"name": k, "averageMs": v, "medianMs": v}
                                        for k, v in content.items())]  # fmt: skip
        if hasattr(content, "SerializeToString"):
            path.write_bytes(content.SerializeToString())
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write
