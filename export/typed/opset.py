"""An ONNX model at an operator set whose quantizers know float16, all constants initializers."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError
from edgereid.export.graph import Graph
from edgereid.export.lint.constants import EXTERNAL, constants_of
from edgereid.export.lint.view import label

OPSET = 19  # QuantizeLinear and DequantizeLinear take float16; TensorRT reads it from 10.0 on
IR_VERSION = 9  # of onnx 1.14, which brought that operator set


def raised(model: Any) -> Any:
    """A copy at operator set 19 or later, without functions, Constant nodes and inferred types.

    The nodes keep their names and order. Raises InputError on a graph inside a node (a branch, a
    loop), weights in other files, and a model that onnx's converter cannot raise.
    """
    from onnx import inliner, version_converter

    _require_plain(model)
    with runtime_errors("the ONNX model cannot be raised to a later operator set"):
        out = copy.deepcopy(model)
        if out.functions:
            out = inliner.inline_local_functions(out)
        before = _operators(out)
        if Graph(out).opset < OPSET:
            out = version_converter.convert_version(out, OPSET)
    if lost := before - _operators(out):
        raise InputError(
            f"operator set {OPSET} has another form of {', '.join(sorted(lost))}: export the model "
            f"at {OPSET} or later."
        )
    out.ir_version = max(out.ir_version, IR_VERSION)
    del out.graph.value_info[:]  # types that are about to change
    _fold_constants(out.graph)
    return out


def _require_plain(model: Any) -> None:
    for node in model.graph.node:
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            raise InputError(
                f"the node {label(node)!r:.80} ({node.op_type}) holds a graph of its own: export "
                "the network without branches and loops."
            )
    if any(t.data_location == EXTERNAL for t in model.graph.initializer):
        raise InputError("some weights lie in other files: load the model together with them.")


def _operators(model: Any) -> Counter[str]:
    return Counter(n.op_type for n in model.graph.node if n.op_type != "Constant")


def _fold_constants(graph: Any) -> None:
    """Constant nodes become initializers; equal ones that a converter added become one."""
    values = constants_of(graph)
    taken = set(values)
    renamed: dict[str, str] = {}
    known: dict[bytes, str] = {}
    kept = []
    for node in graph.node:
        if node.op_type != "Constant" or node.output[0] not in values:
            kept.append(node)
            continue
        tensor, name = values[node.output[0]], node.output[0]
        tensor.name = ""
        content = tensor.SerializeToString(deterministic=True)
        if content not in known:
            known[content] = _free(f"constant.raised.{len(known)}", taken)
            tensor.name = known[content]
            graph.initializer.append(tensor)
        renamed[name] = known[content]
    for node in kept:
        node.input[:] = [renamed.get(n, n) for n in node.input]
    _drop_constant_inputs(graph)
    nodes = [copy.deepcopy(n) for n in kept]
    del graph.node[:]
    graph.node.extend(nodes)


def _drop_constant_inputs(graph: Any) -> None:
    """Old files list their initializers among the inputs as well."""
    constants = {t.name for t in graph.initializer}
    inputs = [copy.deepcopy(i) for i in graph.input if i.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
