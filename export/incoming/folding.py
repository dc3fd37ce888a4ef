"""Computes at export what does not depend on the image: constants, and what follows a layer and
only scales and shifts its channels (batch norm, above all).

The arithmetic of a folded layer is done in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.vendor import runtime_errors
from edgereid.export.graph import Graph, attribute
from edgereid.export.incoming.edit import (
    constants,
    infer,
    names_of,
    prune,
    readers,
    replace_nodes,
    set_constant,
    skip,
    unique,
)

_MAX_VALUES = 2**27  # of all constants that are computed: a small file may ask for terabytes
Wide = NDArray[np.float64]


def fold_constants(model: Any) -> int:
    """Replace nodes that read constants only by what they give; how many there were."""
    from onnx import TensorProto, helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    shapes, _ = infer(model)
    fixed = {i.name for i in model.graph.initializer} | {""}
    finals = {o.name for o in model.graph.output}
    inside, rest = [], []
    left: float = _MAX_VALUES
    for node in model.graph.node:
        size = sum(_size(shapes.get(name)) for name in node.output if name)
        if size <= left and fixed.issuperset(node.input) and finals.isdisjoint(node.output):
            fixed.update(node.output)
            left -= size
            inside.append(node)
        else:
            rest.append(node)
    read = {name for node in rest for name in node.input}
    wanted = [name for node in inside for name in node.output if name in read]
    if wanted:
        outputs = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in wanted]
        graph = helper.make_graph(inside, "constants", [], outputs, model.graph.initializer)
        part = helper.make_model(graph, opset_imports=model.opset_import)
        with runtime_errors("a constant of the ONNX graph cannot be computed"):
            values = ReferenceEvaluator(part).run(None, {})
        for name, value in zip(wanted, values, strict=True):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    replace_nodes(model, rest)
    prune(model)
    return len(inside)


def _size(shape: tuple[int | None, ...] | None) -> float:
    """How many values; infinite where that is not known."""
    if shape is None or None in shape:
        return math.inf
    return math.prod(s for s in shape if s is not None)


def products_to_gemm(model: Any) -> None:
    """Turn products of (N, C) with a constant matrix into Gemm, as linear layers are stored."""
    from onnx import helper

    shapes, _ = infer(model)
    known = {i.name for i in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        flat = node.op_type == "MatMul" and node.input[1] in known and node.input[0] not in known
        if flat and all(len(shapes.get(name, ())) == 2 for name in node.input):
            node = helper.make_node("Gemm", list(node.input), list(node.output), name=node.name)
        nodes.append(node)
    replace_nodes(model, nodes)


@dataclass(frozen=True, slots=True)
class _Affine:
    """``scale * x + shift`` for each channel, or one value for all of them."""

    scale: Wide
    shift: Wide


def fold_affine(model: Any) -> int:
    """Fold BatchNormalization, and Mul and Add by constants, into the convolution or Gemm right
    before it when nobody else reads that one's output; how many were folded."""
    folded: set[str] = set()
    graph, reading, values = Graph(model), readers(model), constants(model)
    taken, finals = names_of(model), {o.name for o in model.graph.output}
    behind: dict[str, Any] = {}  # output of a folded node -> the layer that took it in
    for node in model.graph.node:
        data = _data_input(node, values)
        layer = behind.get(data) or graph.producer.get(data)
        if layer is None or not _can_fold(layer, values):
            continue
        if len(reading.get(data, [])) != 1 or data in finals:
            continue
        channels = _channels(layer, values)
        affine = _affine(node, data, values, channels, 4 if layer.op_type == "Conv" else 2)
        if affine is None:
            continue
        _apply(model, layer, affine, values, taken)
        behind[node.output[0]] = layer
        folded.add(node.name)
    skip(model, _data_first(model, folded, values))
    prune(model)
    return len(folded)


def _data_first(model: Any, names: set[str], values: dict[str, NDArray[Any]]) -> set[str]:
    """Let the first input of the nodes that are taken out be the one that is handed on."""
    for node in model.graph.node:
        if node.name in names and node.input[0] in values:
            node.input[:] = [node.input[1], node.input[0]]
    return names


def _data_input(node: Any, values: dict[str, NDArray[Any]]) -> str:
    """The input that is no constant, of a node that could be folded; else ""."""
    if node.op_type == "BatchNormalization":
        return str(node.input[0])
    if node.op_type in ("Mul", "Add"):
        data = [n for n in node.input if n not in values]
        return data[0] if len(data) == 1 else ""
    return ""


def _can_fold(layer: Any, values: dict[str, NDArray[Any]]) -> bool:
    if layer.op_type not in ("Conv", "Gemm") or layer.input[1] not in values:
        return False
    if layer.op_type == "Gemm" and {a.name for a in layer.attribute} & {"alpha", "beta", "transA"}:
        factors = {a.name: a.f for a in layer.attribute if a.name in ("alpha", "beta")}
        if set(factors.values()) - {1.0} or attribute(layer, "transA", 0):
            return False
    bias = layer.input[2] if len(layer.input) > 2 else ""
    return not bias or (bias in values and values[bias].size in (1, _channels(layer, values)))


def _channels(layer: Any, values: dict[str, NDArray[Any]]) -> int:
    return int(values[layer.input[1]].shape[_axis(layer)])


def _axis(layer: Any) -> int:
    """Of the output channels in the weights."""
    return 0 if layer.op_type == "Conv" or attribute(layer, "transB", 0) else 1


def _affine(
    node: Any, data: str, values: dict[str, NDArray[Any]], channels: int, rank: int
) -> _Affine | None:
    """What a node does to each channel of a tensor of ``rank`` axes, None when it does more."""
    if node.op_type == "BatchNormalization":
        if any(name not in values for name in node.input[1:]):
            return None
        gamma, beta, mean, variance = (values[n].astype(np.float64) for n in node.input[1:5])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        if (variance + epsilon <= 0).any():
            return None
        scale = gamma / np.sqrt(variance + epsilon)
        return _Affine(scale, beta - mean * scale)
    constant = values[next(n for n in node.input if n != data)]
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if constant.dtype != np.float32 or len(shape) != rank:
        return None
    if shape[1] not in (1, channels) or math.prod(shape) != shape[1]:
        return None
    value = constant.reshape(-1).astype(np.float64)
    return _Affine(value, np.zeros(1)) if node.op_type == "Mul" else _Affine(np.ones(1), value)


def _apply(
    model: Any, layer: Any, affine: _Affine, values: dict[str, NDArray[Any]], taken: set[str]
) -> None:
    """Give the layer weights of its own: others may read the ones it has."""
    weight, axis = values[layer.input[1]].astype(np.float64), _axis(layer)
    channels = weight.shape[axis]
    scale = np.broadcast_to(affine.scale, channels)
    shape = [1] * weight.ndim
    shape[axis] = -1
    bias = np.zeros(channels)
    if len(layer.input) > 2 and layer.input[2]:
        bias = np.broadcast_to(values[layer.input[2]].astype(np.float64).reshape(-1), channels)
    bias = bias * scale + affine.shift
    made = {"weight": weight * scale.reshape(shape), "bias": bias}
    names = [unique(f"{layer.name}.{part}", taken) for part in made]
    for name, value in zip(names, made.values(), strict=True):
        values[name] = value.astype(np.float32)
        set_constant(model, name, values[name])
    layer.input[:] = [layer.input[0], *names]
