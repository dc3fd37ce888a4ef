"""The steps that a runtime runs, joined with the nodes of the ONNX graph they stand for.

A runtime fuses nodes and names only some of them. Three rules, in this order: a step owns the nodes
it names; a step of arithmetic that named no arithmetic owns what leads back to the nearest one that
nobody owns (a fused convolution may carry its ReLU's name); a node without arithmetic that nobody
owns went into the step before it, else into the step after it. What is left over on either side is
reported, not dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgereid.bench.roofline.layers import RuntimeLayer
from edgereid.bench.roofline.network import Network, Node

#: Words in a runtime's name for an operator that make it arithmetic.
_ARITHMETIC = ("Conv", "Gemm", "MatMul", "FullyConnected")


@dataclass(frozen=True, slots=True)
class Work:
    """A step with the work counted for it. ``nodes`` is empty for what the runtime put in by
    itself; ``macs`` and ``nbytes`` are None where they are not known."""

    layer: RuntimeLayer
    nodes: tuple[str, ...]
    macs: int | None
    nbytes: int | None


@dataclass(frozen=True, slots=True)
class Joined:
    """All steps, in the runtime's order, and how much of either side was joined, 0 to 1.

    ``lost``: nodes with arithmetic that no step stands for."""

    works: tuple[Work, ...]
    time_share: float
    macs_share: float
    lost: tuple[str, ...]


def join(network: Network, layers: Sequence[RuntimeLayer]) -> Joined:
    """Join a plan with the graph it was made from."""
    owner = _owners(network, layers)
    groups: dict[int, list[Node]] = {}
    for node in network.nodes:
        if node.name in owner:
            groups.setdefault(owner[node.name], []).append(node)
    works = tuple(_work(network, layer, groups.get(i, []), owner) for i, layer in enumerate(layers))
    total = sum(layer.ms for layer in layers)
    joined = sum(work.layer.ms for work in works if work.nodes)
    reached = sum(node.macs or 0 for node in network.nodes if node.name in owner)
    return Joined(
        works=works,
        time_share=joined / total if total else 0.0,
        macs_share=reached / network.macs if network.macs else 0.0,
        lost=tuple(n.name for n in network.nodes if n.macs and n.name not in owner),
    )


def _owners(network: Network, layers: Sequence[RuntimeLayer]) -> dict[str, int]:
    """Node -> index of the step it belongs to."""
    owner: dict[str, int] = {}
    for index, layer in enumerate(layers):
        for source in layer.sources:
            if source in network.alias:
                owner.setdefault(network.alias[source], index)
    nodes = {node.name: node for node in network.nodes}
    maker = {name: node for node in network.nodes for name in node.outputs}
    has_macs = {owner[name] for name in owner if nodes[name].macs}
    for index, layer in enumerate(layers):
        if index not in has_macs and any(word in layer.kind for word in _ARITHMETIC):
            ends = [nodes[name] for name, i in owner.items() if i == index]
            owner.update(dict.fromkeys(_way_back(ends, maker, owner), index))
    for node in network.nodes:
        if not node.macs and node.name not in owner:
            _adopt(node, [maker[i].name for i in node.inputs if i in maker], owner)
    for node in reversed(network.nodes):
        if not node.macs and node.name not in owner:
            _adopt(node, [n.name for n in network.readers(node)], owner)
    return owner


def _adopt(node: Node, neighbours: Sequence[str], owner: dict[str, int]) -> None:
    for name in neighbours:
        if name in owner:
            owner[node.name] = owner[name]
            return


def _way_back(
    ends: Sequence[Node], maker: Mapping[str, Node], owner: Mapping[str, int]
) -> list[str]:
    """Nodes nobody owns on the shortest way from ``ends`` to one with arithmetic; none: no way."""
    ways: list[tuple[Node, list[str]]] = [(end, []) for end in ends]
    seen: set[str] = set()
    while ways:
        node, way = ways.pop(0)
        for tensor in node.inputs:
            before = maker.get(tensor)
            if before is None or before.name in owner or before.name in seen:
                continue
            if before.macs:
                return [*way, before.name]
            seen.add(before.name)
            ways.append((before, [*way, before.name]))
    return []


def _work(
    network: Network, layer: RuntimeLayer, nodes: Sequence[Node], owner: Mapping[str, int]
) -> Work:
    if not nodes:
        return Work(layer, (), 0, layer.traffic)
    names = tuple(node.name for node in nodes)
    macs = None if any(n.macs is None for n in nodes) else sum(n.macs or 0 for n in nodes)
    made = {name for node in nodes for name in node.outputs}
    read = {name for node in nodes for name in node.inputs} - made
    written = {
        name
        for node in nodes
        for name in node.outputs
        if name in network.outputs or any(r.name not in names for r in network.readers(node))
    }
    sizes = [network.sizes.get(name) for name in (*read, *written)]
    if any(size is None for size in sizes):
        return Work(layer, names, macs, None)
    nbytes = (
        layer.read_width * sum(network.sizes[name] for name in read)
        + layer.write_width * sum(network.sizes[name] for name in written)
        + layer.weight_width * sum(node.weights for node in nodes)
    )
    return Work(layer, names, macs, round(nbytes))
