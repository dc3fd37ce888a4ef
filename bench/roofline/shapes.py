"""The shapes of an ONNX graph's tensors at a batch size, through arithmetic on shapes.

ONNX's own inference stops where a shape is computed from another (a slice up to half the channels).
Such nodes work on a few integers, so they are evaluated and replaced by their values, and the
inference is run again, until nothing more is learnt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.vendor import runtime_errors

Shape = tuple[int, ...]
MAX_NUMBERS = 1024  # of a constant that may be a shape; no file makes us compute more
#: Operators of arithmetic on shapes.
_FOLDED = frozenset(
    {
        "Add", "Cast", "Concat", "ConstantOfShape", "Div", "Equal", "Gather", "Identity", "Max",
        "Min", "Mul", "Neg", "Reshape", "Slice", "Squeeze", "Sub", "Unsqueeze", "Where",
    }
)  # fmt: skip


def known_shapes(model: Any, batch: int) -> dict[str, Shape]:
    """Tensor -> shape, where it is fully known, with ``batch`` images; the model is left as it is.

    Raises InputError when the graph contradicts itself."""
    import onnx

    light = _light(model, batch)
    while True:
        with runtime_errors("the ONNX graph has no consistent shapes"):
            graph = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
        shapes = {
            info.name: tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
            for info in (*graph.input, *graph.value_info, *graph.output)
            if info.type.tensor_type.HasField("shape")
            and all(d.HasField("dim_value") for d in info.type.tensor_type.shape.dim)
        }
        if not _fold(light, shapes):
            return {**shapes, **{i.name: tuple(i.dims) for i in light.graph.initializer}}


def _light(model: Any, batch: int) -> Any:
    """A copy with ``batch`` images, without notes on other batch sizes, whose weights have shapes
    but no numbers: it is inferred again and again."""
    from onnx import GraphProto, ModelProto, helper

    light = ModelProto()
    light.CopyFrom(model)
    graph = light.graph
    weights = {i.name for i in graph.initializer}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in weights and len(dims) and not dims[0].dim_value:
            dims[0].ClearField("dim_param")
            dims[0].dim_value = batch
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    large = [i for i in graph.initializer if math.prod(i.dims) > MAX_NUMBERS]
    known = {value.name for value in graph.input}
    graph.input.extend(
        helper.make_tensor_value_info(i.name, i.data_type, i.dims)
        for i in large
        if i.name not in known
    )
    kept = GraphProto(
        initializer=[i for i in graph.initializer if math.prod(i.dims) <= MAX_NUMBERS]
    )
    graph.ClearField("initializer")
    graph.initializer.extend(kept.initializer)
    return light


def _fold(model: Any, shapes: Mapping[str, Shape]) -> bool:
    """Replace the nodes whose values are known by constants; whether there were any."""
    from onnx import numpy_helper

    graph = model.graph
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    values = {
        i.name: numpy_helper.to_array(i)
        for i in graph.initializer
        if not i.HasField("data_location")
    }
    found: dict[str, NDArray[Any]] = {}
    rest = []
    for node in graph.node:
        value = _value(node, shapes, values, opsets)
        if value is None:
            rest.append(node)
        else:
            found[node.output[0]] = values[node.output[0]] = value
    if found:
        kept = [type(node).FromString(node.SerializeToString()) for node in rest]
        del graph.node[:]
        graph.node.extend(kept)
        graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in found.items())
    return bool(found)


def _value(
    node: Any,
    shapes: Mapping[str, Shape],
    values: Mapping[str, NDArray[Any]],
    opsets: Mapping[str, int],
) -> NDArray[Any] | None:
    """What a node makes, if that is a few numbers that are known; else None."""
    if node.op_type == "Shape" and node.input[0] in shapes:
        limits = {a.name: a.i for a in node.attribute}
        whole = np.array(shapes[node.input[0]], np.int64)
        return whole[limits.get("start", 0) : limits.get("end", len(whole))]
    if node.op_type not in _FOLDED or len(node.output) != 1:
        return None
    if any(name and name not in values for name in node.input):
        return None
    if node.op_type == "ConstantOfShape" and values[node.input[0]].prod() > MAX_NUMBERS:
        return None
    from onnx.reference import ReferenceEvaluator

    with runtime_errors(f"the ONNX graph's {node.op_type} {node.name} cannot be worked out"):
        evaluator = ReferenceEvaluator(node, opsets=dict(opsets))
        (out,) = evaluator.run(None, {name: values[name] for name in node.input if name})
    value = np.asarray(out)
    return value if value.size <= MAX_NUMBERS else None
