"""Biases in 32-bit integers, as some quantizers write them, as the numbers that they stand for.

TensorRT makes its own integers of a bias, and the scale of such a bias, the product of two, is
below what FP16 can say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgereid.export.lint.view import DEQUANTIZE, View
from edgereid.export.typed.conditions import axis_of


def fold_biases(model: Any) -> None:
    """Replace every DequantizeLinear of an int32 constant by its result, in place."""
    from onnx import numpy_helper

    view = View(model)
    folded = []
    for node in view.nodes:
        if node.op_type != DEQUANTIZE or view.dtype(node.input[0]) != "int32":
            continue
        levels, scale = view.value(node.input[0]), view.value(node.input[1])
        if levels is None or scale is None:
            continue
        if scale.ndim == 1 and levels.ndim > 1:
            shape = [1] * levels.ndim
            shape[axis_of(node)] = -1
            scale = scale.reshape(shape)
        values = (levels * scale.astype(np.float64)).astype(np.float32)  # an int32's zero is 0
        folded.append(node)
        model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    for node in folded:
        model.graph.node.remove(node)
