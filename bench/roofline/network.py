"""The work in a network, counted from its ONNX graph: multiply-adds and numbers moved, by node.

Quantizers are looked through: a tensor and its quantized twin are one, so the float network and
its Q/DQ form count the same. Convention, as in ``edgereid profile``: a convolution or matrix
product counts one MAC for each product summed; biases, activations, poolings and sums of tensors
count none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgereid.bench.roofline.shapes import Shape, known_shapes
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
#: Nodes that move nothing by themselves: their output is their input, seen otherwise.
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Constant")


@dataclass(frozen=True, slots=True)
class Node:
    """One operator. ``inputs`` and ``outputs`` are tensors of activations; ``weights`` counts the
    numbers in its constant inputs; ``macs`` is None where a shape is not known."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: int
    macs: int | None


@dataclass(frozen=True)
class Network:
    """A counted graph at one batch size. ``sizes`` is the count of numbers in each tensor whose
    shape is known; ``alias`` maps every name of a node or tensor in the file to its node here."""

    nodes: tuple[Node, ...]
    sizes: Mapping[str, int]
    alias: Mapping[str, str]
    outputs: tuple[str, ...]

    @property
    def macs(self) -> int:
        """All MACs that could be counted."""
        return sum(node.macs or 0 for node in self.nodes)

    @property
    def weights(self) -> int:
        """All numbers in constants."""
        return sum(node.weights for node in self.nodes)

    @cached_property
    def _readers(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return found

    def readers(self, node: Node) -> list[Node]:
        """The nodes that read what ``node`` makes."""
        return [reader for name in node.outputs for reader in self._readers.get(name, [])]

    @property
    def moved(self) -> int:
        """Numbers that the nodes read and write, one by one, as far as shapes are known."""
        return sum(self._numbers(n) for n in self.nodes if n.op not in _VIEWS)

    @property
    def working_set(self) -> int:
        """Numbers that must be at hand: all weights, and what the largest node reads and writes."""
        largest = max((self._numbers(n) - n.weights for n in self.nodes), default=0)
        return self.weights + largest

    def _numbers(self, node: Node) -> int:
        tensors = (*node.inputs, *node.outputs)
        return node.weights + sum(self.sizes.get(name, 0) for name in tensors)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Nodes whose MACs could not be counted."""
        return tuple(node.name for node in self.nodes if node.macs is None)


def read_network(path: Path, batch: int) -> Network:
    """Count the graph in an ONNX file at ``batch`` images; raises InputError when it is none."""
    import onnx

    with runtime_errors(f"{path} is not an ONNX file that can be read"):
        model = onnx.load(str(path), load_external_data=False)
    if not model.graph.node:
        raise InputError(f"{path} is not an ONNX file that can be read: it has no nodes.")
    return count(model, batch)


def count(model: Any, batch: int) -> Network:
    """Count an onnx.ModelProto at ``batch`` images; the model is left as it is."""
    shapes = known_shapes(model, batch)
    constants = {i.name: tuple(i.dims) for i in model.graph.initializer}
    same = _through_quantizers(model.graph, constants)
    nodes, alias = [], {}
    for index, node in enumerate(model.graph.node):
        if node.op_type in _QUANTIZERS:
            continue
        counted = _node(node, index, same, shapes, constants)
        nodes.append(counted)
        alias[counted.name] = counted.name
        alias.update((name, counted.name) for name in node.output)
    maker = dict(alias)
    for node in model.graph.node:
        if node.op_type in _QUANTIZERS and same[node.output[0]] in maker:
            name = maker[same[node.output[0]]]
            alias.update((known, name) for known in (node.name, *node.output) if known)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    outputs = tuple(same.get(o.name, o.name) for o in model.graph.output)
    return Network(tuple(nodes), sizes, alias, outputs)


def _through_quantizers(graph: Any, constants: Mapping[str, Shape]) -> dict[str, str]:
    """Output of a quantizer -> the tensor it came from; of constants too."""
    same: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in _QUANTIZERS:
            same[node.output[0]] = same.get(node.input[0], node.input[0])
    return same


def _node(
    node: Any,
    index: int,
    same: Mapping[str, str],
    shapes: Mapping[str, Shape],
    constants: Mapping[str, Shape],
) -> Node:
    """Count one node; a nameless one is called by its first output, as runtimes do."""
    sources = [same.get(name, name) for name in node.input if name]
    parameters = [name for name in sources if name in constants]
    known = {**shapes, **constants}
    return Node(
        name=node.name or (node.output[0] if node.output else f"node {index}"),
        op=node.op_type,
        inputs=tuple(dict.fromkeys(name for name in sources if name not in constants)),
        outputs=tuple(node.output),
        weights=sum(math.prod(constants[name]) for name in parameters),
        macs=_macs(node, sources, known),
    )


def _macs(node: Any, sources: list[str], known: Mapping[str, Shape]) -> int | None:
    rule = _RULES.get(node.op_type)
    if rule is None:
        return 0
    shapes = [known.get(name) for name in (*sources[:2], node.output[0])]
    if any(shape is None for shape in shapes):
        return None
    return rule(node, *(shape for shape in shapes if shape is not None))


def _conv(node: Any, data: Shape, weight: Shape, out: Shape) -> int:
    """Weights (O, I/groups, kernel...): each output number sums I/groups x kernel products."""
    return math.prod(out) * math.prod(weight[1:])


def _conv_transpose(node: Any, data: Shape, weight: Shape, out: Shape) -> int:
    """Weights (I, O/groups, kernel...): each input number is multiplied O/groups x kernel times."""
    return math.prod(data) * math.prod(weight[1:])


def _matmul(node: Any, data: Shape, weight: Shape, out: Shape) -> int:
    """(..., M, K) by (..., K, N)."""
    return math.prod(out) * data[-1]


def _gemm(node: Any, data: Shape, weight: Shape, out: Shape) -> int:
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(out) * data[0 if transposed else 1]


_RULES = {"Conv": _conv, "ConvTranspose": _conv_transpose, "MatMul": _matmul, "Gemm": _gemm}
