"""Writes the typed model: nodes as they were, constants in the type of their reader, casts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.export.lint.view import DEQUANTIZE, QUANTIZE, View, label
from edgereid.export.typed.assign import FLOAT, HALF
from edgereid.export.typed.conditions import BOUNDS, axis_of
from edgereid.export.typed.constants import half, half_scale, half_weight
from edgereid.export.typed.slots import slots

_SUFFIX = {FLOAT: "/f32", HALF: "/f16"}


class Writer:
    """``types``: of the nodes with floats, by position; ``outside``: of inputs and outputs.

    ``casts`` and ``raised`` count casts and weight scales while ``write`` goes along.
    """

    def __init__(self, view: View, types: Mapping[int, str], outside: str) -> None:
        self.view, self.types, self.outside = view, types, outside
        self.casts = self.raised = 0
        self.nodes: list[Any] = []
        self.taken = {n for node in view.nodes for n in (*node.input, *node.output)}
        self.taken |= set(view.tensors)
        self.has = {i.name: outside for i in view.model.graph.input}  # computed tensor -> type
        self.made: dict[tuple[str, str], str] = {}  # tensor and type -> its name in that type
        self.delayed: dict[str, tuple[Any, str]] = {}  # a dequantizer's result -> it, its type
        self.constants: dict[str, Any] = {}  # new initializers
        self.kept: set[str] = set()  # initializers that somebody reads as they were

    def write(self) -> Any:
        """The typed onnx.ModelProto."""
        for i, node in enumerate(self.view.nodes):
            if node.op_type == DEQUANTIZE:
                self.delayed[node.output[0]] = (node, self.types[i])
            else:
                self._node(node, self.types.get(i))
        for name in sorted(self.view.outputs):
            self._output(name)
        return self._model()

    def _node(self, node: Any, kind: str | None) -> None:
        out = copy.deepcopy(node)
        known = slots(node, self.view.graph.opset)
        for i, name in enumerate(node.input):
            if not name:
                continue
            wanted = kind
            if kind == HALF and known is not None and not known.takes_half(i):
                wanted = FLOAT
            out.input[i] = self._read(name, wanted, node)
        for i, name in enumerate(node.output):
            if self.view.dtype(name) != "float":
                continue
            made = kind == HALF and known is not None and known.makes_half(i)
            self.has[name] = HALF if made else FLOAT
            if name in self.view.outputs and self.has[name] != self.outside:
                out.output[i] = self._fresh(name, self.has[name])
        self.nodes.append(out)

    def _read(self, name: str, kind: str | None, node: Any) -> str:
        """The name under which a tensor is read in a type; casts and constants are made on the
        way."""
        if self.view.dtype(name) != "float" or (kind is None and name in self.view.tensors):
            self.kept.add(name)
            return name
        if kind is None:  # only its shape is read: any form of it will do
            there = next((self.made[name, k] for k in (HALF, FLOAT) if (name, k) in self.made), "")
            return there or self._read(name, self.has.get(name, HALF), node)
        if name in self.view.tensors:
            return self._constant(name, kind, node)
        if (name, kind) in self.made:
            return self.made[name, kind]
        if name in self.delayed:
            self._dequantize(name, kind)
        return self.made.get((name, kind)) or (
            name if self.has[name] == kind else self._cast(name, kind)
        )

    def _cast(self, name: str, kind: str) -> str:
        """Add a cast; of a result of the network, to its own type, it is the result."""
        from onnx import TensorProto, helper

        source = self.made.get((name, self.has[name]), name)
        if name in self.view.outputs and kind == self.outside:
            out = self.made[name, kind] = name
        else:
            out = self._fresh(name, kind)
        to = TensorProto.FLOAT if kind == FLOAT else TensorProto.FLOAT16
        self.nodes.append(helper.make_node("Cast", [source], [out], name=f"{source}/cast", to=to))
        self.casts += 1
        return out

    def _output(self, name: str) -> None:
        """See to it that a result of the network has its type."""
        if name in self.view.tensors or self.view.dtype(name) != "float":
            self.kept.add(name)
        else:
            self._read(name, self.outside, None)

    def _fresh(self, name: str, kind: str) -> str:
        """A new name for a tensor in a type, remembered."""
        self.made[name, kind] = self._free(name + _SUFFIX[kind])
        return self.made[name, kind]

    def _free(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _constant(self, name: str, kind: str, node: Any) -> str:
        if kind == FLOAT:
            self.kept.add(name)
            return name
        values = self.view.value(name)
        assert values is not None, name  # no weights lie elsewhere: the model was checked
        if node.op_type == QUANTIZE and name == node.input[1]:
            return self._new(f"{name}|scale", name, half_scale(values))
        bound = node.op_type in BOUNDS
        made = half(values, bound, label(node))
        return self._new(f"{name}|bound" if bound else name, name, made)

    def _new(self, key: str, name: str, values: NDArray[Any]) -> str:
        """The name of a new constant in the place of ``name``; equal keys are one constant."""
        if (key, HALF) not in self.made:
            self.made[key, HALF] = self._free(name + _SUFFIX[HALF])
            self.constants[self.made[key, HALF]] = values
        return self.made[key, HALF]

    def _dequantize(self, name: str, kind: str) -> None:
        """Write a DequantizeLinear in the type of its reader, once for each type; one whose scale
        FP16 does not have is float32 whoever reads it."""
        node, own = self.delayed[name]
        kind = FLOAT if own == FLOAT else kind
        if (name, kind) in self.made:
            return
        out = copy.deepcopy(node)
        if own == HALF:
            self._parameters(out, node, kind)
        else:
            self.kept.update(node.input)
        first = not any((name, k) in self.made for k in (FLOAT, HALF))
        # A result of the network keeps its name in its own type, whoever else reads it before.
        if kind == self.outside if name in self.view.outputs else first:
            self.made[name, kind] = name
        else:
            out.name = out.output[0] = self._fresh(name, kind)
        self.has[name] = kind
        self.nodes.append(out)

    def _parameters(self, out: Any, node: Any, kind: str) -> None:
        """Scale and, of a weight, levels of a dequantizer that FP16 can express."""
        self.kept.update((node.input[0], *node.input[2:]))
        scale = self.view.value(node.input[1])
        levels = self.view.value(node.input[0])
        assert scale is not None
        if levels is None:  # an activation: the quantizer's scale, whatever it is read in
            key = f"{node.input[1]}|scale"
            if kind == HALF:
                out.input[1] = self._new(key, node.input[1], half_scale(scale))
            else:
                single = half_scale(scale).astype(np.float32)
                out.input[1] = self._new(f"{key}|single", node.input[1], single)
        elif kind == HALF:
            zero = self.view.value(node.input[2]) if len(node.input) > 2 else None
            none = np.zeros((), dtype=levels.dtype)
            anew = half_weight(levels, scale, none if zero is None else zero, axis_of(node))
            out.input[1] = self._new(f"{node.input[1]}|{node.input[0]}", node.input[1], anew[1])
            if anew[2]:
                self.raised += anew[2]
                key = f"{node.input[0]}|{node.input[1]}"
                out.input[0] = self._new(key, node.input[0], anew[0])
                self.kept.discard(node.input[0])
        else:
            self.kept.add(node.input[1])

    def _model(self) -> Any:
        from onnx import TensorProto, numpy_helper

        out = copy.deepcopy(self.view.model)
        graph = out.graph
        renamed = self._original_names()
        old = [i for i in graph.initializer if i.name in self.kept]
        new = [
            numpy_helper.from_array(np.asarray(values), renamed.get(name, name))
            for name, values in self.constants.items()
        ]
        for node in self.nodes:
            node.input[:] = [renamed.get(name, name) for name in node.input]
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend([*old, *new])
        graph.node.extend(self.nodes)
        for value in (*graph.input, *graph.output):
            kind = value.type.tensor_type
            if self.outside == HALF and kind.elem_type == TensorProto.FLOAT:
                kind.elem_type = TensorProto.FLOAT16
        return out

    def _original_names(self) -> dict[str, str]:
        """New constants take the names of those that nobody reads any more."""
        renamed: dict[str, str] = {}
        for name in self.constants:
            origin = name.rstrip("_").removesuffix(_SUFFIX[HALF])
            if origin in self.view.tensors and origin not in self.kept | set(renamed.values()):
                renamed[name] = origin
        return renamed
