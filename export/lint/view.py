"""An ONNX graph as the rules see it: constants, types, quantizers and what each is for.

Built on ``edgereid.export.graph``; weights that lie in other files are not read and have no value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.vendor import runtime_errors
from edgereid.export.graph import Graph, attribute
from edgereid.export.lint.constants import EXTERNAL, FLOATS, constants_of, type_name

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
#: Operators that only move numbers: what is before and behind them is the same data.
VIEWS = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
RECTIFIERS = ("Relu", "Clip")


def label(node: Any) -> str:
    """A node's name, or what else tells it apart."""
    return str(node.name or f"{node.op_type} of {next(iter(node.output), '?')}")


@dataclass(frozen=True, slots=True)
class Quantizer:
    """A QuantizeLinear or DequantizeLinear. ``role``: of what it works on, "activation", "weight"
    (any constant) or "bias"; ``dtype``: of the integers; ``zero``: "" where none is given."""

    node: Any
    data: str
    scale: str
    zero: str
    out: str
    role: str
    dtype: str

    @property
    def quantizes(self) -> bool:
        return bool(self.node.op_type == QUANTIZE)


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or matrix product, and the dequantizers right before its two factors."""

    node: Any
    activation: Quantizer | None
    weight: Quantizer | None

    @property
    def int8(self) -> bool:
        return self.activation is not None and self.weight is not None


@dataclass(frozen=True)
class View:
    """Everything is computed once, when first asked for."""

    model: Any
    _values: dict[str, NDArray[Any] | None] = field(default_factory=dict)

    @cached_property
    def graph(self) -> Graph:
        return Graph(self.model)

    @cached_property
    def nodes(self) -> list[Any]:
        return self.graph.nodes

    @cached_property
    def outputs(self) -> frozenset[str]:
        return frozenset(o.name for o in self.model.graph.output)

    @cached_property
    def readers(self) -> dict[str, list[tuple[Any, int]]]:
        """Tensor -> the nodes that read it, and at which input."""
        found: dict[str, list[tuple[Any, int]]] = {}
        for node in self.nodes:
            for i, name in enumerate(node.input):
                found.setdefault(name, []).append((node, i))
        return found

    def producer(self, name: str) -> Any:
        """The node that makes a tensor, or None."""
        return self.graph.producer.get(name)

    def every_node(self) -> Iterator[Any]:
        """Nodes of the graph, of the graphs inside them, and of the model's functions."""
        waiting = [*reversed(self.nodes), *(n for f in self.model.functions for n in f.node)]
        while waiting:
            node = waiting.pop()
            yield node
            for a in node.attribute:
                for graph in (*a.graphs, *([a.g] if a.HasField("g") else [])):
                    waiting.extend(graph.node)

    @cached_property
    def tensors(self) -> dict[str, Any]:
        """Constants as onnx.TensorProto."""
        return constants_of(self.model.graph)

    def value(self, name: str) -> NDArray[Any] | None:
        """A constant's numbers; None for what is computed or lies in another file. Raises
        InputError when the file declares more or fewer numbers than it holds."""
        if name not in self._values:
            self._values[name] = self._read(self.tensors.get(name), name)
        return self._values[name]

    def _read(self, tensor: Any, name: str) -> NDArray[Any] | None:
        from onnx import numpy_helper

        if tensor is None or tensor.data_location == EXTERNAL:
            return None
        with runtime_errors(f"the constant {name!r} of the ONNX file is damaged"):
            return np.asarray(numpy_helper.to_array(tensor))

    def numbers(self, name: str) -> NDArray[np.float64] | None:
        """A constant of floating point as float64, else None."""
        if self.dtype(name) not in FLOATS:
            return None
        value = self.value(name)
        with np.errstate(invalid="ignore"):  # a signalling NaN in a damaged file
            return None if value is None else value.astype(np.float64)

    @cached_property
    def _inferred(self) -> tuple[dict[str, str], dict[str, tuple[int | None, ...]]]:
        import onnx

        with runtime_errors("the ONNX graph contradicts itself"):
            graph = onnx.shape_inference.infer_shapes(self.model).graph
            types = {}
            shapes: dict[str, tuple[int | None, ...]] = {}
            for info in (*graph.input, *graph.value_info, *graph.output):
                tensor = info.type.tensor_type
                types[info.name] = type_name(tensor.elem_type)
                if tensor.HasField("shape"):
                    shapes[info.name] = tuple(
                        d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim
                    )
        return types, shapes

    def dtype(self, name: str) -> str:
        """A tensor's type as ONNX calls it, in lower case; "" when unknown."""
        if name in self.tensors:
            return type_name(self.tensors[name].data_type)
        return self._inferred[0].get(name, "")

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """A tensor's shape, None for an unknown dimension; None when nothing is known of it."""
        if name in self.tensors:
            return tuple(self.tensors[name].dims)
        return self._inferred[1].get(name)

    def count(self, name: str) -> int | None:
        """How many numbers a constant has."""
        return math.prod(self.tensors[name].dims) if name in self.tensors else None

    @cached_property
    def quantizers(self) -> list[Quantizer]:
        nodes = [n for n in self.nodes if n.op_type in (QUANTIZE, DEQUANTIZE)]
        return [self._quantizer(n) for n in nodes if len(n.input) >= 2 and n.output]

    @cached_property
    def distinct(self) -> list[Quantizer]:
        """The quantizers without those that only reverse another one by the same constants."""
        return [
            q
            for q in self.quantizers
            if q.quantizes
            or (first := self.by_output.get(q.data)) is None
            or (q.scale, q.zero) != (first.scale, first.zero)
        ]

    @cached_property
    def by_output(self) -> dict[str, Quantizer]:
        return {q.out: q for q in self.quantizers}

    def _quantizer(self, node: Any) -> Quantizer:
        zero = node.input[2] if len(node.input) > 2 else ""
        data, out = node.input[0], node.output[0]
        first = self.producer(data)
        quantized = node.op_type == DEQUANTIZE and first is not None and first.op_type == QUANTIZE
        origin = first.input[0] if quantized and first.input else data
        role = self._role(out) if origin in self.tensors else "activation"
        return Quantizer(node, data, node.input[1], zero, out, role, self._integers(node, zero))

    def _integers(self, node: Any, zero: str) -> str:
        """The type of the integers: of the zero point, else as the standard has it."""
        if zero:
            return self.dtype(zero)
        if node.op_type == DEQUANTIZE:
            return self.dtype(node.input[0])
        return type_name(attribute(node, "output_dtype", 2))  # UINT8

    def _role(self, name: str) -> str:
        """What a constant is for, by who reads it."""
        for node, i in self.final_readers(name):
            if node.op_type in WEIGHTED and i == 2:
                return "bias"
            if node.op_type == "Add" and self._is_bias(node, i):
                return "bias"
        return "weight"

    def _is_bias(self, node: Any, i: int) -> bool:
        """Whether input ``i`` of a sum is added to a layer's output, one number a channel."""
        other = self.producer(node.input[1 - i]) if len(node.input) == 2 else None
        return other is not None and other.op_type in WEIGHTED

    def final_readers(self, name: str) -> list[tuple[Any, int]]:
        """Who reads a tensor, seen through operators that only move it and through quantizers."""
        found, waiting, seen = [], [name], set()
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            for node, i in self.readers.get(current, []):
                if i == 0 and node.op_type in (*VIEWS, QUANTIZE, DEQUANTIZE):
                    waiting.extend(node.output)
                else:
                    found.append((node, i))
        return found

    @cached_property
    def layers(self) -> list[Layer]:
        return [
            Layer(n, self.dequantizer(n.input[0]), self.dequantizer(n.input[1]))
            for n in self.nodes
            if n.op_type in WEIGHTED and len(n.input) >= 2
        ]

    def dequantizer(self, name: str) -> Quantizer | None:
        """The DequantizeLinear that a tensor comes from, seen through what only moves it."""
        seen = set()
        while name not in seen:
            seen.add(name)
            found = self.by_output.get(name)
            if found is not None:
                return None if found.quantizes else found
            node = self.producer(name)
            if node is None or node.op_type not in VIEWS or not node.input:
                return None
            name = node.input[0]
        return None
