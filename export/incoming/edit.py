"""Small changes to an ONNX graph, in place: other names, nodes taken out, what nobody reads."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMALL = 1024  # values; a shape has no more


def constants(model: Any) -> dict[str, NDArray[Any]]:
    """Initializers by name."""
    from onnx import numpy_helper

    return {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}


def readers(model: Any) -> dict[str, list[Any]]:
    """Tensor name -> the nodes that read it, in the graph's order."""
    found: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            found.setdefault(name, []).append(node)
    return found


def rename(model: Any, names: Mapping[str, str]) -> None:
    """Give tensors other names, wherever they stand; inferred shapes are forgotten."""
    graph = model.graph
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)
    del graph.value_info[:]


def replace_nodes(model: Any, nodes: Iterable[Any]) -> None:
    """Let the graph have these nodes, in this order."""
    kept = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def skip(model: Any, names: Collection[str]) -> None:
    """Take out the nodes called ``names``, each of which hands its first input on."""
    finals = {o.name for o in model.graph.output}
    outside = {v.name for v in (*model.graph.input, *model.graph.initializer)}
    behind: dict[str, str] = {}
    kept: list[Any] = []
    swapped: dict[str, str] = {}
    for node in model.graph.node:
        node.input[:] = [behind.get(name, name) for name in node.input]
        if node.name not in names:
            kept.append(node)
        elif node.output[0] not in finals:
            behind[node.output[0]] = node.input[0]
        elif node.input[0] in outside or node.input[0] in finals or node.input[0] in swapped:
            kept.append(node)
        else:
            swapped[node.input[0]] = node.output[0]  # what is handed on takes the output's name
    replace_nodes(model, kept)
    rename(model, swapped)


def prune(model: Any) -> None:
    """Remove the nodes and constants that the outputs do not depend on."""
    needed = {o.name for o in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(filter(None, node.input))
            kept.append(node)
    replace_nodes(model, reversed(kept))
    used = [i for i in model.graph.initializer if i.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(used)


def set_constant(model: Any, name: str, value: NDArray[Any]) -> None:
    """Add an initializer; one of that name is replaced."""
    from onnx import numpy_helper

    tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
    for old in model.graph.initializer:
        if old.name == name:
            old.CopyFrom(tensor)
            return
    model.graph.initializer.append(tensor)


def unique(name: str, taken: set[str]) -> str:
    """``name``, or with a number behind it when it is taken; it is taken then."""
    candidate, n = name, 1
    while candidate in taken:
        candidate, n = f"{name}_{n}", n + 1
    taken.add(candidate)
    return candidate


def names_of(model: Any) -> set[str]:
    """All tensors."""
    graph = model.graph
    found = {name for node in graph.node for name in (*node.input, *node.output)}
    return found | {v.name for v in (*graph.input, *graph.output, *graph.initializer)}


def _without_weights(model: Any) -> Any:
    """The graph with its small constants only, larger ones as inputs: what shapes need. Inference
    copies the model, which for large weights takes longer than everything else."""
    import onnx

    whole = model.graph
    small = [i for i in whole.initializer if math.prod(i.dims) <= _SMALL]
    large = [i for i in whole.initializer if math.prod(i.dims) > _SMALL]
    inputs = [onnx.helper.make_tensor_value_info(i.name, i.data_type, i.dims) for i in large]
    graph = onnx.helper.make_graph(
        whole.node, whole.name or "graph", [*whole.input, *inputs], whole.output, small
    )
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def infer(model: Any) -> tuple[dict[str, tuple[int | None, ...]], dict[str, int]]:
    """Inferred shapes (None: a dynamic dimension) and element types, by tensor.

    What older inference left in the model is not trusted. Raises InputError when the graph
    contradicts itself.
    """
    import onnx

    from edgereid.engines.vendor import runtime_errors

    with runtime_errors("the ONNX graph contradicts itself"):
        graph = onnx.shape_inference.infer_shapes(_without_weights(model), data_prop=True).graph
    shapes: dict[str, tuple[int | None, ...]] = {}
    types: dict[str, int] = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        types[info.name] = tensor.elem_type
        if tensor.HasField("shape"):
            shapes[info.name] = tuple(
                d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim
            )
    for tensor in model.graph.initializer:
        shapes[tensor.name], types[tensor.name] = tuple(tensor.dims), tensor.data_type
    return shapes, types
