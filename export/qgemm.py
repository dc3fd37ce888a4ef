"""Products of vectors as ONNX Runtime computes them in 8 bits with a float result.

Its 8-bit convolution gives 8 bits. Without a rounding behind it a Conv between Q/DQ, or a Gemm with
a float bias, runs in float, and dequantizes its weights anew at every run. With the bias as 32-bit
integers on the product of both scales, a Gemm is fused to QGemm, which gives float.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.export.graph import Graph
from edgereid.export.incoming.edit import names_of, prune, replace_nodes, set_constant, unique
from edgereid.export.products import is_product

_MOST = 2**31 - 1


def with_integer_gemms(model: Any) -> Any:
    """A Q/DQ onnx.ModelProto whose products of vectors with 8-bit weights that nobody rounds are
    Gemm nodes, of the same names, with biases of 32 bits; the model itself where there are none.

    A bias changes by half a unit of the product of both scales at most; nothing else does.
    """
    graph = Graph(model)
    found = {node.name for node in graph.nodes if _is_float_product(node, graph)}
    if not found:
        return model
    rewritten = _Rewriter(graph)
    for node in graph.nodes:
        if node.name in found:
            rewritten.product(node)
        else:
            rewritten.nodes.append(node)
    return rewritten.finish()


def _is_float_product(node: Any, graph: Graph) -> bool:
    """Whether a node is a product of codes with 8-bit weights whose result nobody rounds."""
    if node.op_type not in ("Conv", "Gemm"):
        return False
    data, weights = (graph.producer.get(name) for name in node.input[:2])
    if data is None or weights is None:
        return False
    if any(maker.op_type != "DequantizeLinear" for maker in (data, weights)):
        return False
    weight = graph.weights.get(weights.input[0])
    readers = graph.consumers.get(node.output[0], ())
    rounded = any(reader.op_type == "QuantizeLinear" for reader in readers)
    return weight is not None and not rounded and is_product(node, weight, graph)


class _Rewriter:
    """Writes the nodes anew, with the constants that they need."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.taken = names_of(graph.model)
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def product(self, node: Any) -> None:
        """A Gemm in place of a Conv or Gemm."""
        data, weight = (self.graph.producer[name] for name in node.input[:2])
        if node.op_type == "Gemm":
            gemm = copy.deepcopy(node)
            gemm.input[2:] = self._bias(node, data, weight)
            self.nodes.append(gemm)
            return
        integers = self.graph.weights[weight.input[0]]
        rows = self._constant(f"{node.name}/rows", integers.reshape(integers.shape[:2]))
        shape = self._constant(f"{node.name}/shape", np.array([0, len(integers), 1, 1]))
        flat = self._add("Flatten", f"{node.name}/codes", data.input[0])
        inputs = (
            self._add("DequantizeLinear", f"{flat}/dq", flat, *data.input[1:]),
            self._add("DequantizeLinear", f"{rows}/dq", rows, *weight.input[1:], axis=0),
            *self._bias(node, data, weight),
        )
        product = self._add("Gemm", f"{node.name}/product", *inputs, transB=1)
        self.nodes[-1].name = node.name
        self._add("Reshape", f"{node.name}/map", product, shape)
        self.nodes[-1].output[0] = node.output[0]

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        name = unique(name, self.taken)
        self.constants[name] = value
        return name

    def _add(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """A new node; the name of its output, which is its own."""
        from onnx import helper

        name = unique(name, self.taken)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def _bias(self, node: Any, data: Any, weight: Any) -> list[str]:
        """The bias of a node in 32 bits, dequantized; none where there is none."""
        if len(node.input) < 3 or not node.input[2]:
            return []
        values = self.graph.weights
        product = np.asarray(values[data.input[1]] * values[weight.input[1]], dtype=np.float32)
        levels = np.rint(values[node.input[2]].reshape(-1) / product.astype(np.float64))
        integers = np.clip(levels, -_MOST, _MOST).astype(np.int32)
        name = self._constant(f"{node.name}/bias", integers)
        scale = self._constant(f"{name}/scale", product)
        return [self._add("DequantizeLinear", f"{name}/dq", name, scale, axis=0)]

    def finish(self) -> Any:
        """The model with these nodes."""
        import onnx

        model = copy.deepcopy(self.graph.model)
        replace_nodes(model, self.nodes)
        for name, value in self.constants.items():
            set_constant(model, name, value)
        prune(model)
        onnx.checker.check_model(model)
        return model
