"""Applies a target's policy to a graph: which tensors and weights are quantised, and why not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgereid.calibration.histogram import Histogram
from edgereid.calibration.scheme import Scheme
from edgereid.export.graph import ARITHMETIC, Graph, attribute
from edgereid.export.macs import int8_share
from edgereid.export.moves import MOVES, shared_grids, with_shared
from edgereid.export.policy import PlacementPolicy
from edgereid.export.products import large_layers, plain_products

_RECTIFIERS = ("Relu", "Clip")
KEPT = "kept in float by choice"


@dataclass(frozen=True, slots=True)
class Placement:
    """What is quantised in one graph for one target."""

    activations: Mapping[str, str]  # tensor -> whose range it takes: its own, a pool's, a shared
    carried: Mapping[str, str]  # tensor that was moved there from these -> the range it lies on
    shared: Mapping[str, tuple[str, ...]]  # range of several tensors -> the tensors
    weights: Mapping[str, int]  # initializer -> axis of its output channels
    stored: Collection[str]  # nodes that read their weights from 8 bits: others may share them
    precision: Mapping[str, str]  # node -> "int8", "int8 weights" or "f32"
    reasons: Mapping[str, str]  # node with weights that stays float -> why
    int8_share: float  # share of the multiply-adds in 8 bits, 0 to 1


def place(graph: Graph, policy: PlacementPolicy, keep: Collection[str] = ()) -> Placement:
    """Apply ``policy``; the nodes named in ``keep`` stay float, weights and all, whatever it says.

    What is quantised with some ``keep`` is quantised with less of it, on the same ranges: one
    calibration table serves every choice. Tensors come in the order of the graph."""
    large = large_layers(graph, policy.gates, policy.heads)
    chosen, weights, stored, reasons = _choose(graph, policy, large, keep)
    # Which tensors share a range is decided as if nothing were kept: a table knows no other.
    whole = _choose(graph, policy, large, ())[0] if keep else chosen
    pooled = _pooled_grids(graph, policy, whole)
    joined = shared_grids(graph, policy.moves, whole, pooled)
    grids = [g for g in joined if not chosen.isdisjoint((*g.entries, *g.carried))]
    carried = {name: grid.name for grid in grids for name in sorted(grid.carried)}
    ranges = carried | {name: grid.name for grid in grids for name in grid.entries}
    rounded = chosen.union(*(grid.entries for grid in grids)) - carried.keys()
    order = [graph.input, *(name for node in graph.nodes for name in node.output)]
    sources = {name: pooled.get(name, name) for name in order if name in rounded}
    activations = {name: ranges.get(source, source) for name, source in sources.items()}
    shared = {grid.name: grid.entries for grid in grids if len(grid.entries) > 1}
    precision = _precision(graph, rounded | carried.keys(), stored, plain_products(graph, large))
    share = int8_share(graph, precision)
    return Placement(activations, carried, shared, weights, stored, precision, reasons, share)


def _choose(
    graph: Graph, policy: PlacementPolicy, large: Collection[str], keep: Collection[str]
) -> tuple[set[str], dict[str, int], set[str], dict[str, str]]:
    """The tensors to round, before what shares their grids; then ``Placement``'s ``weights``,
    ``stored`` and ``reasons``."""
    reasons = {}
    chosen: set[str] = set()
    weights: dict[str, int] = {}
    stored: set[str] = set()
    products = plain_products(graph, large)
    for node in graph.nodes:
        if node.op_type not in ARITHMETIC:
            continue
        excluded = "" if node.name in products else _excluded(node, graph, policy, large)
        why = KEPT if node.name in keep else excluded
        if why:
            reasons[node.name] = why
        else:
            chosen.add(node.input[0])
        wanted = not why or (why != KEPT and node.op_type in policy.weight_only)
        if wanted and _is_weight(node, graph):
            axis = _output_axis(node)
            if weights.setdefault(node.input[1], axis) == axis:
                stored.add(node.name)
    _add_residuals(graph, policy, chosen, {*products, *keep})
    _add_pools(graph, policy, chosen)
    _add_outputs(graph, policy, chosen, stored - products)
    return chosen, weights, stored, reasons


def tensors_seen(graph: Graph, policies: Iterable[PlacementPolicy]) -> set[str]:
    """The tensors whose histograms decide the ranges of the targets' policies."""
    placements = [place(graph, policy) for policy in policies]
    return {t for p in placements for s in p.activations.values() for t in p.shared.get(s, (s,))}


def all_ranges(
    graph: Graph, policies: Iterable[PlacementPolicy], histograms: Mapping[str, Histogram]
) -> dict[str, Histogram]:
    """``histograms`` of the tensors seen, and those of the ranges that several of them share."""
    shared = {n: e for policy in policies for n, e in place(graph, policy).shared.items()}
    return with_shared(histograms, shared)


def schemes_needed(
    graph: Graph, policies: tuple[PlacementPolicy, ...], nonnegative: Mapping[str, bool]
) -> dict[str, tuple[Scheme, ...]]:
    """Tensor -> the grids that the targets' policies will ask the calibration table for."""
    wanted: dict[str, dict[str, Scheme]] = {}
    for policy in policies:
        for source in place(graph, policy).activations.values():
            scheme = policy.nonnegative if nonnegative[source] else policy.signed
            wanted.setdefault(source, {})[scheme.name] = scheme
    return {name: tuple(schemes.values()) for name, schemes in wanted.items()}


def _is_weight(node: Any, graph: Graph) -> bool:
    return node.input[1] in graph.weights and graph.weights[node.input[1]].ndim >= 2


def _output_axis(node: Any) -> int:
    """The axis of the output channels of a layer's weights."""
    return 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1


def _excluded(node: Any, graph: Graph, policy: PlacementPolicy, large: Collection[str]) -> str:
    """Why a layer with weights stays float, or an empty string; ``large`` ones on 1x1 maps do not
    for that."""
    if not _is_weight(node, graph):
        return "its weights are no constant"
    if node.op_type not in policy.inputs_of:
        return f"{node.op_type} stays float on {policy.target}"
    if graph.shapes.get(node.input[0], ())[2:] == (1, 1) and node.name not in large:
        return "it works on a 1x1 map: its arithmetic is nothing and its errors reach every pixel"
    groups = attribute(node, "group", 1)
    out, per_group = graph.weights[node.input[1]].shape[:2]
    if groups > 1 and per_group == 1:
        return "" if policy.depthwise else "depthwise"
    if groups > 1 and (per_group % policy.group_multiple or out // groups % policy.group_multiple):
        return f"{per_group} channels a group are no multiple of {policy.group_multiple}"
    return ""


def _add_residuals(
    graph: Graph, policy: PlacementPolicy, chosen: set[str], keep: Collection[str]
) -> None:
    """The other input of a sum that takes a convolution's output as it is, or both. Where it is the
    other alone, the convolution's output stays float; of two, the second counts as the other. A
    convolution that is kept in float gains nothing by it."""
    for node in graph.nodes:
        if node.op_type not in policy.residual_of or len(node.input) != 2:
            continue
        makers = [graph.producer[n] for n in node.input if n in graph.producer]
        fused = [maker.op_type == "Conv" for maker in makers]
        if len(fused) == 2 and any(fused) and makers[0 if fused[0] else 1].name not in keep:
            other = node.input[1] if fused[0] else node.input[0]
            chosen.update(node.input if policy.both_addends else (other,))


def _add_pools(graph: Graph, policy: PlacementPolicy, chosen: set[str]) -> None:
    """Inputs of pools whose output is quantised."""
    for node in reversed(graph.nodes):
        if node.op_type in policy.pools and node.output[0] in chosen:
            chosen.add(node.input[0])


def _pooled_grids(graph: Graph, policy: PlacementPolicy, chosen: set[str]) -> dict[str, str]:
    """Output of a maximum pooling -> what is pooled, whose range it takes: on one grid the pooling
    is exact."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        pools = node.op_type == "MaxPool" and node.op_type in policy.pools
        if pools and {node.output[0], node.input[0]} <= chosen:
            found[node.output[0]] = found.get(node.input[0], node.input[0])
    return found


def _add_outputs(
    graph: Graph, policy: PlacementPolicy, chosen: set[str], stored: Collection[str]
) -> None:
    """Outputs of operators whose inputs are all quantised, after the rectifier if one follows."""
    finals = {o.name for o in graph.model.graph.output}
    for node in graph.nodes:
        if node.op_type not in policy.outputs_of or not _quantised(node, chosen, stored, graph):
            continue
        out = node.output[0]
        readers = graph.consumers.get(out, [])
        if len(readers) == 1 and readers[0].op_type in _RECTIFIERS:
            out = readers[0].output[0]
        if out not in finals and _read_as_wanted(out, graph, policy):
            chosen.add(out)


def _read_as_wanted(tensor: str, graph: Graph, policy: PlacementPolicy) -> bool:
    """Whether only what the policy names reads an output."""
    before, readers = policy.outputs_before, graph.consumers.get(tensor, ())
    return not before or all(r.op_type in before and not _moved_to_layer(r, graph) for r in readers)


def _moved_to_layer(node: Any, graph: Graph) -> bool:
    """Whether a layer with weights or a product reads what a node moves: it decides by itself."""
    if node.op_type not in MOVES:
        return False
    readers = [r for tensor in node.output for r in graph.consumers.get(tensor, ())]
    return any(r.op_type in ARITHMETIC or _moved_to_layer(r, graph) for r in readers)


def _quantised(node: Any, chosen: Any, stored: Collection[str], graph: Graph) -> bool:
    """Whether a node reads quantised data only (a bias does not count)."""
    if node.op_type in ARITHMETIC:
        return node.input[0] in chosen and (node.name in stored or node.input[1] in chosen)
    return all(name in chosen for name in node.input if name not in graph.weights)


def _precision(
    graph: Graph, on_grids: Collection[str], stored: Collection[str], products: Collection[str]
) -> dict[str, str]:
    """The precision asked for, by node, where the tensors ``on_grids`` are 8-bit codes; rectifiers
    go with the layer before them, unless it is one of ``products``, which give floats."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        data = list(node.input[: 2 if node.op_type == "Add" else 1])
        fused = [n in on_grids or _fuses(graph.producer.get(n), found, products) for n in data]
        if node.op_type in ARITHMETIC:
            int8 = _quantised(node, on_grids, stored, graph)
            found[node.name] = "int8" if int8 else "int8 weights" if node.name in stored else "f32"
        elif node.op_type in ("Add", "MaxPool", "AveragePool", *_RECTIFIERS):
            found[node.name] = "int8" if fused and all(fused) else "f32"
        else:
            moved = node.op_type in MOVES and node.output[0] in on_grids
            found[node.name] = "int8" if moved else "f32"
    return found


def _fuses(node: Any, found: Mapping[str, str], products: Collection[str]) -> bool:
    """Whether a tensor comes straight from 8-bit arithmetic, so that the next step fuses."""
    fusing = node is not None and node.op_type in ("Conv", "Add", *_RECTIFIERS)
    return fusing and node.name not in products and found.get(node.name) == "int8"
