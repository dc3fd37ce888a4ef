"""A network that takes no training: mean colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def save_network(path: Path, damage: float = 0.0, seed: int = 0) -> None:
    """Mean colours of 3 x 2 cells of a 24 x 16 crop, mixed by a matrix with noise in it."""
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(seed)
    matrix = np.eye(18) + damage * rng.normal(size=(18, 18))
    nodes = [
        onnx.helper.make_node(
            "AveragePool", ["images"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]
        ),
        onnx.helper.make_node("Flatten", ["cells"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "matrix"], ["features"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "cells",
        [onnx.helper.make_tensor_value_info("images", 1, ["N", 3, 24, 16])],
        [onnx.helper.make_tensor_value_info("features", 1, ["N", 18])],
        [onnx.numpy_helper.from_array(matrix.astype(np.float32), "matrix")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
