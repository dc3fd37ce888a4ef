"""The layers of an engine joined with the nodes of the ONNX file it was built from.

A layer stands for the nodes it names, by the list in its metadata or by its name; for a region of
which only the ends are named, for the nodes on the ways between them that no other layer names.
Nothing else is joined: a name that the file does not have is kept as unknown, a node that no layer
names has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgereid.bench.inspect.graph import Source
from edgereid.bench.inspect.layers import EngineLayer
from edgereid.bench.inspect.names import Named, is_copy, named, without_marks
from edgereid.bench.inspect.result import NodeRow, Step
from edgereid.bench.inspect.types import Ran, multiplies, ran_in
from edgereid.bench.inspect.verdict import judged
from edgereid.bench.roofline.network import Node

#: Kinds of layers that only change layout or type, or do nothing.
_CHANGES = ("reformat", "noop", "cast", "copy")
_OWN = ("constant", "shapehosttodevice", "devicetoshapehost", "trainstation", "memset", "signal")


@dataclass(frozen=True, slots=True)
class Joined:
    """The layers and the nodes, each in its own order."""

    steps: tuple[Step, ...]
    rows: tuple[NodeRow, ...]


def join(
    layers: Sequence[EngineLayer],
    ms: Sequence[float | None],
    source: Source | None,
    asked: Mapping[str, str],
) -> Joined:
    """Join layers (with milliseconds, None where not told) with a graph, if there is one.

    ``asked``: node -> precision asked for: "int8", and "f32" where it was to stay, are judged.
    """
    said = [named(layer.name, layer.metadata) for layer in layers]
    ran = [_ran(layer) for layer in layers]
    owned = [_nodes(names, source) for names in said]
    if source is not None:
        _claim_regions(said, source, owned)
        ran = [_settled(*known, source) for known in zip(ran, said, owned, strict=True)]
    of_node: dict[str, list[int]] = {}
    for i, nodes in enumerate(owned):
        for node in nodes:
            of_node.setdefault(node, []).append(i)
    main = _mains(layers, ran, of_node, source)
    steps = tuple(
        _step(layer, said[i], ran[i], owned[i], ms[i], _macs(i, main, source), source)
        for i, layer in enumerate(layers)
    )
    rows = () if source is None else _rows(source, steps, ran, of_node, main, asked)
    return Joined(steps, rows)


def _ran(layer: EngineLayer) -> Ran:
    if not layer.told:
        return Ran(None)
    reads, writes = ([t.type for t in ts] for ts in (layer.inputs, layer.outputs))
    return ran_in(layer.kind, reads, writes, layer.weights, layer.tactic)


def _settled(ran: Ran, names: Named, nodes: Sequence[str], source: Source) -> Ran:
    """A layer with float data and INT8 weights runs in INT8 if it names its data's quantizer."""
    said = set(names.names)
    if ran.by_weights and any(source.asked.get(n, frozenset()) & said for n in nodes):
        return Ran("int8")
    return ran


def _nodes(names: Named, source: Source | None) -> list[str]:
    if source is None:
        return []
    found = (source.find(name) for name in names.names)
    return list(dict.fromkeys(node for node in found if node is not None))


def _claim_regions(said: Sequence[Named], source: Source, owned: list[list[str]]) -> None:
    """Give each region the nodes between its ends that no layer names. ``owned`` is changed."""
    taken = {node for nodes in owned for node in nodes}
    for i, names in enumerate(said):
        for first, last in names.regions:
            ends = {source.find(first), source.find(last)}
            between = source.between(first, last)
            owned[i] += [n for n in between if n not in owned[i] and (n not in taken or n in ends)]


def _mains(
    layers: Sequence[EngineLayer],
    ran: Sequence[Ran],
    of_node: Mapping[str, Sequence[int]],
    source: Source | None,
) -> dict[str, int]:
    """Node with MACs -> the layer that does them: the only one that multiplies, else the only one
    that names it, changes of layout apart. Others are left out."""
    if source is None:
        return {}
    main = {}
    for node in source.network.nodes:
        if node.macs == 0 or node.name not in of_node:
            continue
        candidates = [i for i in of_node[node.name] if not _is_change(layers[i])]
        for chosen in ([i for i in candidates if multiplies(layers[i].kind)], candidates):
            if len(chosen) == 1:
                main[node.name] = chosen[0]
            if chosen:
                break
    return main


def _is_change(layer: EngineLayer) -> bool:
    kind = layer.kind.lower()
    return any(word in kind for word in _CHANGES) or is_copy(layer.name)


def _macs(index: int, main: Mapping[str, int], source: Source | None) -> int:
    if source is None:
        return 0
    return sum(source.nodes[name].macs or 0 for name, i in main.items() if i == index)


def _step(
    layer: EngineLayer,
    names: Named,
    ran: Ran,
    nodes: Sequence[str],
    ms: float | None,
    macs: int,
    source: Source | None,
) -> Step:
    ends = [end for region in names.regions for end in region]
    unknown = (
        ()
        if source is None
        else tuple(name for name in (*names.names, *ends) if not source.known(name))
    )
    return Step(
        name=layer.name,
        kind=layer.kind,
        group=_group(layer, names, nodes, source),
        precision=ran.precision,
        doubt=ran.doubt,
        inferred=ran.inferred,
        nodes=tuple(nodes),
        unknown=unknown,
        ms=ms,
        macs=macs,
        tactic=layer.tactic,
        key=_key(layer, names, nodes),
    )


def _group(layer: EngineLayer, names: Named, nodes: Sequence[str], source: Source | None) -> str:
    kind = layer.kind.lower()
    if _is_change(layer) or layer.origin in ("REFORMAT", "QDQ"):
        return "changes"
    if any(word in kind for word in _OWN):
        return "own"
    if nodes:
        return "nodes"
    if source is not None and names.names and all(n in source.quantizers for n in names.names):
        return "changes"
    if names.helpers and not names.names and not names.regions:
        return "own"
    if source is not None and names.names and all(map(source.known, names.names)):
        return "own"  # weights and quantisers of weights only
    if source is None and (names.names or names.regions):
        return "nodes"
    return "unmatched"


def _key(layer: EngineLayer, names: Named, nodes: Sequence[str]) -> str:
    """What the layer stands for, the same in each build: its nodes, else the names it gives."""
    said = nodes or (*names.names, *("...".join(r) for r in names.regions))
    kind = "copy to " if _is_change(layer) else ""
    return kind + (" + ".join(sorted(said)) if said else without_marks(layer.name))


def _rows(
    source: Source,
    steps: Sequence[Step],
    ran: Sequence[Ran],
    of_node: Mapping[str, Sequence[int]],
    main: Mapping[str, int],
    asked: Mapping[str, str],
) -> tuple[NodeRow, ...]:
    found = []
    for node in source.network.nodes:
        place = _at(node, main, steps, ran, of_node)
        named_by = [steps[i] for i in of_node.get(node.name, ())]
        found.append(_row(node, named_by, place, asked.get(node.name, "")))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node's work is done; None where that is not clear. ``ran`` of all candidates."""

    step: Step | None
    ran: tuple[Ran, ...]


def _at(
    node: Node,
    main: Mapping[str, int],
    steps: Sequence[Step],
    ran: Sequence[Ran],
    of_node: Mapping[str, Sequence[int]],
) -> _Place:
    if node.name in main:
        i = main[node.name]
        return _Place(steps[i], (ran[i],))
    indices = [i for i in of_node.get(node.name, ()) if steps[i].group != "changes"]
    return _Place(steps[indices[0]] if len(indices) == 1 else None, tuple(ran[i] for i in indices))


def _row(node: Node, steps: Sequence[Step], place: _Place, asked: str) -> NodeRow:
    step = place.step
    verdict = judged(asked, place.ran)
    if verdict == "unclear" and node.macs == 0:
        verdict = ""  # it went into another layer; only arithmetic must show where
    precisions = {r.precision for r in place.ran}
    return NodeRow(
        name=node.name,
        op=node.op,
        macs=node.macs,
        layers=tuple(s.name for s in steps),
        ran=precisions.pop() if len(precisions) == 1 else None,
        verdict=verdict,
        ms=None if step is None else step.ms,
    )
