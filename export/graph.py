"""An ONNX graph as the exporter's steps see it: who makes a tensor, who reads it, its shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from edgereid.errors import InputError

#: The operators that multiply by weights, or two activations.
ARITHMETIC = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Graph:
    """A read-only view on an onnx.ModelProto."""

    model: Any

    @property
    def nodes(self) -> list[Any]:
        return list(self.model.graph.node)

    @cached_property
    def weights(self) -> dict[str, NDArray[Any]]:
        """Initializers by name."""
        from onnx import numpy_helper

        return {i.name: numpy_helper.to_array(i) for i in self.model.graph.initializer}

    @cached_property
    def producer(self) -> dict[str, Any]:
        """Tensor name -> the node that makes it (not for inputs and initializers)."""
        return {name: node for node in self.model.graph.node for name in node.output}

    @cached_property
    def consumers(self) -> dict[str, list[Any]]:
        """Tensor name -> the nodes that read it, in the graph's order."""
        found: dict[str, list[Any]] = {}
        for node in self.model.graph.node:
            for name in node.input:
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Inferred shapes of all tensors that have one; None is a dynamic dimension."""
        import onnx

        inferred = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        return {
            info.name: tuple(
                d.dim_value if d.HasField("dim_value") else None
                for d in info.type.tensor_type.shape.dim
            )
            for info in (*inferred.input, *inferred.value_info, *inferred.output)
            if info.type.tensor_type.HasField("shape")
        }

    @property
    def input(self) -> str:
        return str(self.model.graph.input[0].name)

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators; raises InputError when the model names none."""
        for opset in self.model.opset_import:
            if opset.domain in ("", "ai.onnx"):
                return int(opset.version)
        raise InputError("the ONNX model names no operator set of ONNX's own.")


def attribute(node: Any, name: str, default: int) -> int:
    """An integer attribute of a node."""
    for a in node.attribute:
        if a.name == name:
            return int(a.i)
    return default
