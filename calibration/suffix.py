"""The part of an ONNX graph that lies behind one tensor, as a model of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Suffix:
    """What has to be computed again when ``tensor`` changes: ``nodes`` of ``model``, which read
    ``tensor`` and ``beside``, tensors that do not depend on it, and give ``features``."""

    model: Any
    tensor: str
    nodes: tuple[Any, ...]
    beside: tuple[str, ...]
    features: str

    @staticmethod
    def of(model: Any, tensor: str) -> Suffix:
        """``model`` is an onnx.ModelProto."""
        constants = {i.name for i in model.graph.initializer}
        changed = {tensor}
        nodes, beside = [], {}
        for node in model.graph.node:
            reads = list(_reads(node))
            if changed.isdisjoint(reads):
                continue
            nodes.append(node)
            changed.update(node.output)
            others = (n for n in reads if n not in changed and n not in constants)
            beside.update(dict.fromkeys(others))
        features = model.graph.output[0].name
        return Suffix(model, tensor, tuple(nodes), tuple(beside), features)

    @property
    def reaches_output(self) -> bool:
        """Whether the features depend on the tensor at all."""
        return any(self.features in node.output for node in self.nodes)

    def build(self, values: Mapping[str, np.ndarray[Any, Any]]) -> Any:
        """The onnx.ModelProto; ``values`` of its inputs tell their types, not their shapes."""
        from onnx import helper

        inputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(values[name].dtype), None
            )
            for name in (self.tensor, *self.beside)
        ]
        read = {name for node in self.nodes for name in _reads(node)}
        graph = helper.make_graph(
            self.nodes,
            "suffix",
            inputs,
            [self.model.graph.output[0]],
            [i for i in self.model.graph.initializer if i.name in read],
        )
        return helper.make_model(
            graph,
            opset_imports=self.model.opset_import,
            ir_version=self.model.ir_version,
            functions=self.model.functions,
        )


def _reads(node: Any) -> Iterator[str]:
    """The tensors that a node reads, those of the graphs within it included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)
