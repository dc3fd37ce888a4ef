"""The layers with constant weights, seen as the matrix products that they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.export.graph import ARITHMETIC, Graph, attribute


@dataclass(frozen=True, slots=True)
class Layer:
    """A Conv, Gemm or MatMul of one input and a constant weight; ``weight`` is its initializer."""

    node: Any
    input: str
    output: str
    weight: str
    axis: int  # of the weight's output channels
    groups: int

    def rows(self, weight: NDArray[Any]) -> NDArray[Any]:
        """A weight, or its integers, as (groups, rows of a group, inputs of a row)."""
        matrix = weight if self.axis == 0 else weight.T
        return matrix.reshape(self.groups, matrix.shape[0] // self.groups, -1)

    def unrows(self, rows: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Back from ``rows`` to the weight's own shape."""
        if self.axis == 0:
            return rows.reshape(shape)
        return np.ascontiguousarray(rows.reshape(shape[::-1]).T)


def layers_of(graph: Graph, weights: Collection[str]) -> list[Layer]:
    """The layers whose weight is among ``weights``, in the graph's order. A weight that several
    nodes share is left out: it has more than one input to be fitted to."""
    found = []
    for node in graph.nodes:
        if node.op_type not in ARITHMETIC or node.input[1] not in weights:
            continue
        name = node.input[1]
        if len(graph.consumers[name]) > 1 or (
            node.op_type != "Conv" and graph.weights[name].ndim != 2
        ):
            continue
        rows_first = node.op_type == "Conv" or attribute(node, "transB", 0)
        found.append(
            Layer(
                node=node,
                input=node.input[0],
                output=node.output[0],
                weight=name,
                axis=0 if rows_first else 1,
                groups=attribute(node, "group", 1) if node.op_type == "Conv" else 1,
            )
        )
    return found
