"""A small network whose work is known by hand, and a result made of fakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

#: A 3x3 convolution of 3 to 8 channels on 8 x 4, a ReLU, a mean and a product of 8 by 16.
CONV_MACS = 8 * 4 * 8 * 27
GEMM_MACS = 8 * 16


def small_network(int8: bool = False, named: bool = True) -> Any:
    """The onnx.ModelProto of it; with ``int8`` the convolution is quantised."""
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((8, 3, 3, 3)).astype(np.float32)
    tensors = {"kernel": kernel, "fc": rng.standard_normal((8, 16)).astype(np.float32)}
    nodes = []
    image, weight = "images", "kernel"
    if int8:
        tensors |= {
            "scale": np.float32(8 / 255),
            "zero": np.uint8(128),
            "kernel8": np.rint(kernel * 32).astype(np.int8),
            "scales": np.full(8, 1 / 32, np.float32),
            "zeros": np.zeros(8, np.int8),
        }
        del tensors["kernel"]
        image, weight = "images.dq", "kernel.dq"
        nodes = [
            helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["images.q"]),
            helper.make_node("DequantizeLinear", ["images.q", "scale", "zero"], ["images.dq"]),
            helper.make_node(
                "DequantizeLinear", ["kernel8", "scales", "zeros"], ["kernel.dq"], axis=0
            ),
        ]
    nodes += [
        helper.make_node("Conv", [image, weight], ["c"], name="block/conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="block/relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["v"], name="flatten"),
        helper.make_node("Gemm", ["v", "fc"], ["features"], name="head"),
    ]
    if not named:
        for node in nodes:
            node.name = ""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", 1, ["N", 3, 8, 4])],
        [helper.make_tensor_value_info("features", 1, ["N", 16])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="session")
def small() -> Callable[..., Any]:
    return small_network


@pytest.fixture(scope="session")
def small_macs() -> int:
    """Of one image."""
    return CONV_MACS + GEMM_MACS


@pytest.fixture
def small_file(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "small.onnx", **options: Any) -> Path:
        path = tmp_path / name
        path.write_bytes(small_network(**options).SerializeToString())
        return path

    return write
