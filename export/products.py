"""Layers on vectors, which maps of 1x1 pixels are as well: embedding heads and attention gates."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from numpy.typing import NDArray

from edgereid.export.graph import Graph, attribute


def large_layers(graph: Graph, gates: int | None, heads: int | None) -> frozenset[str]:
    """The names of the Conv and Gemm nodes that read vectors and have constant weights, at least
    ``gates`` of them, or ``heads`` in the embedding head; None: none of them is large enough.

    The head is what only vectors are computed from; what a gate gives multiplies a whole map. Where
    a shape behind a layer is not known, the layer counts as a gate.
    """
    ends: dict[str, bool] = {}  # tensor -> whether all that is computed from it is a vector
    found = set()
    for node in reversed(graph.nodes):
        head = all(_is_vector(name, graph) and ends.get(name, True) for name in node.output)
        for name in node.input:
            ends[name] = ends.get(name, True) and head
        least = heads if head else gates
        weight = graph.weights.get(node.input[1]) if node.op_type in ("Conv", "Gemm") else None
        if least is None or weight is None or weight.size < least:
            continue
        if _is_vector(node.input[0], graph):
            found.add(node.name)
    return frozenset(found)


def plain_products(graph: Graph, names: Collection[str]) -> set[str]:
    """The nodes among ``names`` that are plain products: in 8 bits they give floats."""
    found = (node for node in graph.nodes if node.name in names)
    return {n.name for n in found if is_product(n, graph.weights[n.input[1]], graph)}


def is_product(node: Any, weight: NDArray[Any], graph: Graph) -> bool:
    """Whether a node with this weight, or its integers, multiplies a vector by a matrix and adds a
    constant vector or none: a Conv of one pixel in one group, or a Gemm without factors."""
    if node.op_type not in ("Conv", "Gemm"):
        return False
    if not (_is_vector(node.input[0], graph) and _is_vector(node.output[0], graph)):
        return False
    axis = 1 if node.op_type == "Gemm" and not attribute(node, "transB", 0) else 0
    channels = weight.shape[axis]
    biases = [graph.weights.get(name) for name in node.input[2:] if name]
    if any(bias is None or bias.shape not in ((channels,), (1, channels)) for bias in biases):
        return False
    if node.op_type == "Conv":
        return weight.shape[2:] == (1, 1) and attribute(node, "group", 1) == 1
    factors = all(a.f == 1.0 for a in node.attribute if a.name in ("alpha", "beta"))
    return factors and not attribute(node, "transA", 0)


def _is_vector(name: str, graph: Graph) -> bool:
    """Whether a tensor is known to hold one number a channel."""
    shape = graph.shapes.get(name)
    return shape is not None and all(size == 1 for size in shape[2:])
