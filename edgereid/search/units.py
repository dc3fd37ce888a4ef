"""What the search decides on: layers that a runtime fuses, or that are only fast together.

A depthwise convolution goes with the one that feeds it (a pointwise -> depthwise pair is one block
in two layers), and convolutions that meet in one sum go together (one of them fuses with it, and
takes the other in its own type). Operators without weights follow their neighbours by the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgereid.export.graph import ARITHMETIC, Graph, attribute
from edgereid.export.macs import macs
from edgereid.export.placement import place
from edgereid.export.policy import PlacementPolicy

_PASSES_ON = ("Relu", "Clip")


@dataclass(frozen=True, slots=True)
class Unit:
    """Nodes that are in INT8 or in float together; ``macs`` of one image."""

    name: str
    nodes: tuple[str, ...]
    macs: int


def units_of(graph: Graph, policy: PlacementPolicy) -> tuple[Unit, ...]:
    """The units of what ``policy`` puts in INT8, in the order of the graph."""
    precision = place(graph, policy).precision
    layers = [n for n in graph.nodes if n.op_type in ARITHMETIC and precision[n.name] == "int8"]
    group = {n.name: n.name for n in layers}  # node -> its group's first node
    for node in layers:
        fed = _feeder(node, graph)
        if fed is not None and fed.name in group and _is_depthwise(node, graph):
            _join(group, fed.name, node.name)
    for node in graph.nodes:
        if node.op_type in policy.residual_of and len(node.input) == 2:
            makers = [graph.producer.get(name) for name in node.input]
            names = [m.name for m in makers if m is not None and m.name in group]
            if len(names) == 2:
                _join(group, *names)
    members: dict[str, list[Any]] = {}
    for node in layers:
        members.setdefault(group[node.name], []).append(node)
    return tuple(_unit(nodes, graph) for nodes in members.values())


def nodes_of(units: Sequence[Unit], kept: Sequence[int]) -> tuple[str, ...]:
    """The nodes of the units with these numbers."""
    return tuple(name for i in kept for name in units[i].nodes)


def _is_depthwise(node: Any, graph: Graph) -> bool:
    weight = graph.weights.get(node.input[1])
    return attribute(node, "group", 1) > 1 and weight is not None and weight.shape[1] == 1


def _feeder(node: Any, graph: Graph) -> Any:
    """The layer whose output, rectified or not, this node alone reads; else None."""
    name = node.input[0]
    while len(graph.consumers.get(name, ())) == 1 and name in graph.producer:
        maker = graph.producer[name]
        if maker.op_type not in _PASSES_ON:
            return maker
        name = maker.input[0]
    return None


def _join(group: dict[str, str], first: str, second: str) -> None:
    old, new = group[second], group[first]
    for name, head in group.items():
        if head == old:
            group[name] = new


def _unit(nodes: Sequence[Any], graph: Graph) -> Unit:
    first = nodes[0].name.removesuffix(f"/{nodes[0].op_type}")
    name = first if len(nodes) == 1 else f"{first} +{len(nodes) - 1}"
    return Unit(name, tuple(n.name for n in nodes), sum(macs(n, graph) for n in nodes))
