"""Multiply-adds of a graph, and which share of them is in 8 bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgereid.export.graph import ARITHMETIC, Graph


def int8_share(graph: Graph, precision: Mapping[str, str]) -> float:
    """The share of the multiply-adds, 0 to 1, of nodes whose ``precision`` is "int8"."""
    total = int8 = 0
    for node in graph.nodes:
        if node.op_type in ARITHMETIC:
            found = macs(node, graph)
            total += found
            int8 += found if precision[node.name] == "int8" else 0
    return int8 / total if total else 0.0


def macs(node: Any, graph: Graph) -> int:
    """The multiply-adds of a Conv, Gemm or MatMul for one image; 0 where shapes are not known."""
    shape = graph.shapes.get(node.output[0], ())
    if node.op_type == "MatMul":
        inner = (graph.shapes.get(node.input[0]) or (0,))[-1] or 0
        return math.prod(size or 1 for size in shape[1:]) * inner
    if node.input[1] not in graph.weights:
        return 0
    return math.prod(size or 1 for size in shape[2:]) * int(graph.weights[node.input[1]].size)
