"""A small network as ONNX in the variants that the builder treats differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

HEIGHT, WIDTH, FEATURES = 32, 16, 16
Make = Callable[..., bytes]


def network(
    batch: str | int = "N",
    opset: int = 17,
    quantized: bool = False,
    half: bool = False,
    zero: int = 0,
    extra: str = "",
    external: str = "",
) -> bytes:
    """images (N, 3, 32, 16) -> features (N, 16): convolution, ReLU, mean, fully connected.

    ``half``: typed float16 between float32 ends. ``extra``: an operator put behind the features.
    """
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    kind = np.float16 if half else np.float32
    kernel = rng.normal(size=(8, 3, 3, 3)).astype(kind)
    fc = rng.normal(size=(FEATURES, 8)).astype(kind)
    tensors = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(fc, "fc")]
    nodes, image, weight = [], "images", "kernel"
    if half:
        nodes.append(
            helper.make_node("Cast", ["images"], ["half"], "cast_in", to=TensorProto.FLOAT16)
        )
        image = "half"
    if quantized:
        scale = np.float32(0.05).astype(kind)
        tensors += [
            numpy_helper.from_array(scale, "scale"),
            numpy_helper.from_array(np.int8(zero), "zero"),
            numpy_helper.from_array(np.full(8, 0.03, kind), "scales"),
            numpy_helper.from_array(np.zeros(8, np.int8), "zeros"),
        ]
        for name, source, s, z, axis in (
            ("x", image, "scale", "zero", {}),
            ("w", "kernel", "scales", "zeros", {"axis": 0}),
        ):
            for op, given, made in (
                ("Quantize", source, f"{name}q"),
                ("Dequantize", f"{name}q", f"{name}d"),
            ):
                called = f"{made}_node"
                nodes.append(helper.make_node(f"{op}Linear", [given, s, z], [made], called, **axis))
        image, weight = "xd", "wd"
    end = "raw" if half else "features"
    nodes += [
        helper.make_node("Conv", [image, weight], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "fc"], [end], "embed", transB=1),
    ]
    if half:
        nodes.append(
            helper.make_node("Cast", ["raw"], ["features"], "cast_out", to=TensorProto.FLOAT)
        )
    if extra:
        nodes.append(helper.make_node(extra, ["features"], ["more"], "extra"))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", 1, [batch, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("features", 1, [batch, FEATURES])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    if external:
        from onnx.external_data_helper import set_external_data

        set_external_data(model.graph.initializer[0], external)
        model.graph.initializer[0].ClearField("raw_data")
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def make() -> Make:
    return network


@pytest.fixture(scope="session")
def reference() -> Callable[[bytes, NDArray[Any]], NDArray[Any]]:
    """The same file in ONNX's own reference implementation: not what the fake computes with."""

    def run(model: bytes, images: NDArray[Any]) -> NDArray[Any]:
        from onnx.reference import ReferenceEvaluator

        return np.asarray(ReferenceEvaluator(model).run(None, {"images": images})[0])

    return run


@pytest.fixture
def images() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(3, 3, HEIGHT, WIDTH)).astype(np.float32)
