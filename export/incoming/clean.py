"""Brings an ONNX graph into the form that the exporter's other steps expect.

Constants are initializers and no inputs (old files list them as such), nothing hands on what it
got, every node has a name of its own, and no name collides with those that the Q/DQ writer makes.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.export.incoming.edit import prune, rename, replace_nodes, skip, unique

INPUT, OUTPUT = "images", "features"  # as in the files of our own networks
_MAX_NAME = 200
#: Characters that a name may have: XML and terminals know no others for certain.
_ODD = re.compile(r"[^\x21-\x7e]+")
#: What the Q/DQ writer hangs onto a tensor's name, or begins a constant's or a range's with.
_RESERVED = re.compile(r"(.*/(q|dq|scale|zero)|(zero|shared)/.*)", re.DOTALL)


def name_nodes(model: Any) -> None:
    """Give every node a name that no other node has, its own where it has one."""
    taken: set[str] = set()
    for i, node in enumerate(model.graph.node):
        node.name = unique(_plain(node.name) or f"{node.op_type}_{i}", taken)


def name_tensors(model: Any) -> None:
    """Call the input ``images`` and the output ``features``; change other names only where they
    have odd characters or are reserved."""
    graph = model.graph
    ends = {graph.input[0].name: INPUT, graph.output[0].name: OUTPUT}
    taken = {INPUT, OUTPUT, ""}
    names = dict(ends)
    produced = [name for node in graph.node for name in node.output]
    for name in (*(i.name for i in graph.initializer), *produced):
        if name and name not in names:
            plain = _plain(name)
            names[name] = unique(f"_{plain}_" if _RESERVED.fullmatch(plain) else plain, taken)
    rename(model, names)


def _plain(name: str) -> str:
    return _ODD.sub("_", name)[:_MAX_NAME]


def clean(model: Any) -> None:
    """Everything but the names of tensors. The model keeps what it computes."""
    drop_listed_constants(model)
    gather_constants(model)
    name_nodes(model)
    skip(model, {n.name for n in model.graph.node if n.op_type in ("Identity", "Dropout")})
    prune(model)
    for node in model.graph.node:
        node.doc_string = ""
        if hasattr(node, "metadata_props"):
            del node.metadata_props[:]
    model.graph.doc_string = ""
    del model.metadata_props[:]
    model.graph.name = "edgereid"


def drop_listed_constants(model: Any) -> None:
    """Take initializers out of the inputs, where IR versions before 4 had to list them."""
    model.ir_version = max(model.ir_version, 4)  # the first in which that is allowed
    constants = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def gather_constants(model: Any) -> None:
    """Turn Constant nodes into initializers; one that is an output, or sparse, stays."""
    from onnx import numpy_helper

    finals = {o.name for o in model.graph.output}
    kept = []
    for node in model.graph.node:
        value = _constant(node) if node.op_type == "Constant" else None
        if value is None or node.output[0] in finals:
            kept.append(node)
        else:
            model.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    replace_nodes(model, kept)


def _constant(node: Any) -> NDArray[Any] | None:
    """The value of a Constant node: one attribute, whose name says the type."""
    from onnx import numpy_helper

    for a in node.attribute:
        if a.name == "value":
            return np.asarray(numpy_helper.to_array(a.t))
        if a.name in ("value_float", "value_floats"):
            return np.asarray(a.f if a.name == "value_float" else list(a.floats), dtype=np.float32)
        if a.name in ("value_int", "value_ints"):
            return np.asarray(a.i if a.name == "value_int" else list(a.ints), dtype=np.int64)
    return None
