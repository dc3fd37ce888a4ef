"""Nodes that reduce a tensor to one number a channel, inside a graph: only that leaves a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgereid.export.graph import Graph

_AXES_AS_INPUT = 18  # the operator set since which ReduceMean and ReduceMax take them so


def reduce_to_channels(model: Any, operator: str, tensor: str, rank: int, out: str) -> list[Any]:
    """Nodes that make ``out`` (C,), ReduceMean or ReduceMax of ``tensor`` (N, C, ...) over all axes
    but the second. A constant that they need is added to ``model``, an onnx.ModelProto."""
    from onnx import helper, numpy_helper

    axes = [i for i in range(rank) if i != 1]
    if Graph(model).opset < _AXES_AS_INPUT:
        return [helper.make_node(operator, [tensor], [out], axes=axes, keepdims=0)]
    constant = numpy_helper.from_array(np.asarray(axes, dtype=np.int64), f"{out}/axes")
    model.graph.initializer.append(constant)
    return [helper.make_node(operator, [tensor, f"{out}/axes"], [out], keepdims=0)]
