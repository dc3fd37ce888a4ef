"""Turns a network that was exported for one batch size into one that takes any.

The batch is followed by shape inference at two sizes: where a reshaping to fixed sizes cuts it off,
the one axis that holds it is left open. Everything else that mixes or fixes images is found when
the result is run.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from edgereid.export.incoming.edit import infer, set_constant
from edgereid.export.incoming.signature import fix_input

Shape = tuple[int, ...]
_FACTOR = 7  # the other size: that many times the batch
_NODE = re.compile(r"Name:'([^']+)'|Node \(([^)]+)\)|node with name '([^']+)'")


def open_batch(model: Any, batch: int, size: tuple[int, int]) -> list[str]:
    """Make the batch dynamic, in place; the names of the nodes that were changed.

    ``batch``: what the model was exported with. What cannot be changed is left: running it shows.
    """
    fix_input(model, size, batch)
    before = _static(infer(model)[0])
    changed: list[str] = []
    while True:
        fix_input(model, size, _FACTOR * batch)
        after = _static(infer(model)[0])
        found = [n for n in model.graph.node if n.name not in changed]
        done = [n.name for n in found if _open(model, n, batch, before, after)]
        if not done:
            break
        changed += done
    fix_input(model, size, None)
    return changed


def _static(shapes: dict[str, tuple[int | None, ...]]) -> dict[str, Shape]:
    return {n: tuple(d for d in s if d is not None) for n, s in shapes.items() if None not in s}


def _open(
    model: Any, node: Any, batch: int, before: dict[str, Shape], after: dict[str, Shape]
) -> bool:
    """Let a node pass a batch that it holds fixed; whether it was changed."""
    if node.op_type not in ("Reshape", "Resize", "Expand"):
        return False
    at = {"Reshape": 1, "Expand": 1, "Resize": 3}[node.op_type]
    source, out = node.input[0], node.output[0]
    sizes = constants_of(model, node.input[at]) if len(node.input) > at else None
    if sizes is None or any(name not in before for name in (source, out)) or source not in after:
        return False
    old, new = before[source], after[source]
    if math.prod(new) == math.prod(old):
        return False
    if node.op_type == "Resize":
        return _by_scales(model, node, old, before[out])
    axis = batch_axis(old, new, before[out], batch)
    if axis is None:
        return False
    target = list(before[out])
    target[axis] = -1 if node.op_type == "Reshape" else 1
    if node.op_type == "Expand" and list(sizes) == target:
        return False
    name = f"{node.name}.shape"
    set_constant(model, name, np.asarray(target, dtype=np.int64))
    node.input[at] = name
    for a in list(node.attribute):
        if a.name == "allowzero":
            node.attribute.remove(a)
    return True


def constants_of(model: Any, name: str) -> list[int] | None:
    """The integers of a constant, None where it is computed."""
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        if tensor.name == name:
            return [int(v) for v in numpy_helper.to_array(tensor).reshape(-1)]
    return None


def batch_axis(old: Shape, new: Shape, out: Shape, batch: int) -> int | None:
    """The axis of ``out`` that holds the batch when a tensor of shape ``old`` is reshaped to it.

    ``new``: the tensor's shape at another batch, so that the axis with the batch is the one that
    differs. Numbers keep their order, so what lies before the batch stays before it.
    """
    differing = [i for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    if len(old) != len(new) or len(differing) != 1:
        return None
    outer = math.prod(old[: differing[0]])
    for axis, length in enumerate(out):
        if math.prod(out[:axis]) == outer and length % batch == 0:
            return axis
    return None


def _by_scales(model: Any, node: Any, source: Shape, out: Shape) -> bool:
    """Resize by factors in place of sizes: the sizes hold the batch."""
    factors = []
    for a, b in zip(source, out, strict=True):
        factor = np.float32(b / a)
        while math.floor(np.float32(a) * factor) < b:  # rounding must not cost a pixel
            factor = np.nextafter(factor, np.float32(np.inf))
        factors.append(factor)
    name = f"{node.name}.scales"
    set_constant(model, name, np.asarray(factors, dtype=np.float32))
    node.input[:] = [node.input[0], node.input[1], name]
    return True


def blame(message: str) -> str:
    """The node that a runtime's message names, or an empty string."""
    found = _NODE.search(message)
    return next((name for name in found.groups() if name), "") if found else ""


def lost_at(model: Any, batch: int, size: tuple[int, int]) -> str:
    """The first node that takes a batch in and gives a shape without it; empty: none is seen."""
    fix_input(model, size, batch)
    before = _static(infer(model)[0])
    fix_input(model, size, _FACTOR * batch)
    after = _static(infer(model)[0])
    fix_input(model, size, None)

    def grows(name: str) -> bool:
        return name in before and name in after and before[name] != after[name]

    for node in model.graph.node:
        same = [n in before and before[n] == after.get(n) for n in node.output if n]
        if node.op_type not in ("Shape", "Size") and any(map(grows, node.input)) and all(same):
            return str(node.name)
    return ""
