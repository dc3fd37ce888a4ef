"""Which type every node computes in: FP32 where a rule says so, else FP16, with few casts.

Layers with weights and quantizers are fixed at once. What stands between, from a reshape to a sum,
goes with its surroundings: it is FP32 where FP32 comes in and FP32 is wanted, so that no number
goes down to FP16 and up again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgereid.export.lint.view import DEQUANTIZE, View, label
from edgereid.export.typed.conditions import LARGEST, MULTIPLIERS, QUANTIZERS
from edgereid.export.typed.rules import float32_nodes, is_float
from edgereid.export.typed.slots import Slots, slots

FLOAT, HALF = "float32", "float16"
#: Other images than those seen may reach further, by this factor.
HEADROOM = 2.0
_NO_HALF = "ONNX has this operator without float16"
_UNKNOWN = "it is no operator of ONNX's own: its types are unknown"
_BETWEEN = "float32 comes in and float32 is wanted"


@dataclass(frozen=True, slots=True)
class Types:
    """Position of a node with floats -> its type; of one that is FP32 -> why."""

    types: Mapping[int, str]
    reasons: Mapping[int, str]


def assign(view: View, outside: str, peaks: Mapping[str, float]) -> Types:
    """Types of all nodes that read or make floats; ``outside``: of the network's inputs and
    outputs; ``peaks``: tensor -> the largest magnitude seen in it."""
    reasons = _beyond(view, peaks) | float32_nodes(view)
    opset = view.graph.opset
    for i, node in enumerate(view.nodes):
        if is_float(view, node) and i not in reasons:
            why = _without_half(view, node, slots(node, opset))
            if why:
                reasons[i] = why
    types: dict[int, str] = dict.fromkeys(reasons, FLOAT)
    for i, node in enumerate(view.nodes):
        if is_float(view, node) and node.op_type in (*MULTIPLIERS, *QUANTIZERS):
            types.setdefault(i, HALF)
    for i, kind in _between(view, types, outside).items():
        types[i] = kind
        if kind == FLOAT:
            reasons[i] = _BETWEEN
    return Types(dict(sorted(types.items())), dict(sorted(reasons.items())))


def _beyond(view: View, peaks: Mapping[str, float]) -> dict[int, str]:
    """The nodes that make or read what was seen near the end of FP16's range, or beyond it."""
    found = {}
    for i, node in enumerate(view.nodes):
        tops = [peaks.get(name, 0.0) for name in (*node.input, *node.output)]
        if is_float(view, node) and not max(tops, default=0.0) <= LARGEST / HEADROOM:
            found[i] = f"a tensor was seen at {max(tops):.3g}: FP16 ends at {LARGEST:.0f}"
    return found


def _without_half(view: View, node: Any, known: Slots | None) -> str:
    """Why a node cannot be float16 whatever its numbers are, or an empty string."""
    if known is None:
        return _UNKNOWN
    if node.op_type in QUANTIZERS:
        return ""
    data = [i for i, name in enumerate(node.input) if name and view.dtype(name) == "float"]
    made = [i for i, name in enumerate(node.output) if name and view.dtype(name) == "float"]
    if data and not known.takes_half(data[0]):
        return _NO_HALF
    if made and not all(known.makes_half(i) for i in made):
        return "its type is its own attribute's" if not data else _NO_HALF
    return ""


def _between(view: View, fixed: Mapping[int, str], outside: str) -> dict[int, str]:
    """The types of the nodes that are not fixed."""
    sources = _sources(view, fixed, outside)
    wanted = _wanted(view, fixed, outside)
    by_tensor = {v.name: outside for v in view.model.graph.input}
    found = {}
    for i, node in enumerate(view.nodes):
        if is_float(view, node) and i not in fixed:
            come, go = sources[i], wanted[i]
            stays = (come == {FLOAT} and FLOAT in go) or (come != {HALF} and go == {FLOAT})
            given = {n for n in node.input if _moves(view, n)}
            joins = len(given) > 1 and all(by_tensor.get(n) == FLOAT for n in given)
            found[i] = FLOAT if stays or joins else HALF  # one cast behind it instead of several
        by_tensor |= dict.fromkeys(node.output, found.get(i) or fixed.get(i, ""))
    return found


_Sets = dict[int, set[str]]


def _sources(view: View, fixed: Mapping[int, str], outside: str) -> _Sets:
    """The types that reach each node from behind. A dequantizer comes in either."""
    by_tensor = {v.name: {outside} for v in view.model.graph.input}
    found: _Sets = {}
    for i, node in enumerate(view.nodes):
        if i in fixed:
            given = {fixed[i]} if node.op_type != DEQUANTIZE or fixed[i] == FLOAT else set()
        else:
            given = _union(by_tensor.get(n, set()) for n in node.input if _moves(view, n))
        found[i] = given
        by_tensor |= dict.fromkeys(node.output, given)
    return found


def _wanted(view: View, fixed: Mapping[int, str], outside: str) -> _Sets:
    """The types that are wanted of each node's results further on."""
    place = {n.output[0]: i for i, n in enumerate(view.nodes) if n.output}
    found: _Sets = {}
    for i, node in reversed(list(enumerate(view.nodes))):
        want = {outside for name in node.output if name in view.outputs}
        for name in node.output:
            if not _moves(view, name):
                continue
            for reader, _ in view.readers.get(name, ()):
                if not is_float(view, reader):
                    continue
                at = place[reader.output[0]]
                want |= {fixed[at]} if at in fixed else found[at]
        found[i] = want
    return found


def _moves(view: View, name: str) -> bool:
    """Whether a tensor is computed in floats."""
    return bool(name) and name not in view.tensors and view.dtype(name) == "float"


def _union(sets: Iterable[set[str]]) -> set[str]:
    out: set[str] = set()
    for s in sets:
        out |= s
    return out


def reason(view: View, types: Types) -> dict[str, str]:
    """Name of an FP32 node -> why."""
    return {label(view.nodes[i]): why for i, why in types.reasons.items()}
