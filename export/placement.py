"""Applies a target's policy to a graph: which tensors and weights are quantised, and why not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from edgereid.calibration.scheme import Scheme
from edgereid.export.graph import Graph, attribute
from edgereid.export.policy import PlacementPolicy

_ARITHMETIC = ("Conv", "Gemm", "MatMul")
_RECTIFIERS = ("Relu", "Clip")
KEPT = "kept in float by choice"


@dataclass(frozen=True, slots=True)
class Placement:
    """What is quantised in one graph for one target."""

    activations: Mapping[str, str]  # tensor -> the one whose range it takes: itself, or a pool's
    weights: Mapping[str, int]  # initializer -> axis of its output channels
    precision: Mapping[str, str]  # node -> "int8", "int8 weights" or "f32"
    reasons: Mapping[str, str]  # node with weights that stays float -> why
    int8_share: float  # share of the multiply-adds in 8 bits, 0 to 1


def place(graph: Graph, policy: PlacementPolicy, keep: Collection[str] = ()) -> Placement:
    """Apply ``policy``; the nodes named in ``keep`` stay float, weights and all, whatever it says.

    What is quantised with some ``keep`` is quantised with less of it, on the same ranges: one
    calibration table serves every choice. Tensors come in the order of the graph."""
    reasons = {}
    chosen: set[str] = set()
    weights: dict[str, int] = {}
    for node in graph.nodes:
        if node.op_type not in _ARITHMETIC:
            continue
        why = KEPT if node.name in keep else _excluded(node, graph, policy)
        if why:
            reasons[node.name] = why
        else:
            chosen.add(node.input[0])
        stored = not why or (why != KEPT and node.op_type in policy.weight_only)
        if stored and _is_weight(node, graph):
            weights[node.input[1]] = _output_axis(node)
    _add_residuals(graph, policy, chosen, keep)
    _add_pools(graph, policy, chosen)
    _add_outputs(graph, policy, chosen, weights)
    shared = _shared_grids(graph, policy, chosen)
    order = [graph.input, *(name for node in graph.nodes for name in node.output)]
    activations = {name: shared.get(name, name) for name in order if name in chosen}
    precision = _precision(graph, activations, weights)
    return Placement(activations, weights, precision, reasons, _int8_share(graph, precision))


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


def _excluded(node: Any, graph: Graph, policy: PlacementPolicy) -> str:
    """Why a layer with weights stays float, or an empty string."""
    if not _is_weight(node, graph):
        return "its weights are no constant"
    if node.op_type not in policy.inputs_of:
        return f"{node.op_type} stays float on {policy.target}"
    if graph.shapes.get(node.input[0], ())[2:] == (1, 1):
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
    """The other input of a sum that takes a convolution's output as it is. The convolution fuses
    with the sum and its output stays float; of two, the second counts as the other. A convolution
    that is kept in float gains nothing by it."""
    for node in graph.nodes:
        if node.op_type not in policy.residual_of or len(node.input) != 2:
            continue
        makers = [graph.producer[n] for n in node.input if n in graph.producer]
        fused = [maker.op_type == "Conv" for maker in makers]
        if len(fused) == 2 and any(fused) and makers[0 if fused[0] else 1].name not in keep:
            chosen.add(node.input[1] if fused[0] else node.input[0])


def _add_pools(graph: Graph, policy: PlacementPolicy, chosen: set[str]) -> None:
    """Inputs of pools whose output is quantised."""
    for node in reversed(graph.nodes):
        if node.op_type in policy.pools and node.output[0] in chosen:
            chosen.add(node.input[0])


def _shared_grids(graph: Graph, policy: PlacementPolicy, chosen: set[str]) -> dict[str, str]:
    """Output of a maximum pooling -> its input, whose range it takes: on one grid the pooling is
    exact."""
    return {
        node.output[0]: node.input[0]
        for node in graph.nodes
        if node.op_type == "MaxPool"
        and node.op_type in policy.pools
        and {node.output[0], node.input[0]} <= chosen
    }


def _add_outputs(
    graph: Graph, policy: PlacementPolicy, chosen: set[str], weights: Mapping[str, int]
) -> None:
    """Outputs of operators whose inputs are all quantised, after the rectifier if one follows."""
    finals = {o.name for o in graph.model.graph.output}
    for node in graph.nodes:
        if node.op_type not in policy.outputs_of or not _quantised(node, chosen, weights, graph):
            continue
        out = node.output[0]
        readers = graph.consumers.get(out, [])
        if len(readers) == 1 and readers[0].op_type in _RECTIFIERS:
            out = readers[0].output[0]
        if out not in finals:
            chosen.add(out)


def _quantised(node: Any, chosen: Any, weights: Mapping[str, int], graph: Graph) -> bool:
    """Whether a node reads quantised data only (a bias does not count)."""
    if node.op_type in _ARITHMETIC:
        return node.input[0] in chosen and (node.input[1] in weights or node.input[1] in chosen)
    return all(name in chosen for name in node.input if name not in graph.weights)


def _precision(
    graph: Graph, activations: Mapping[str, str], weights: Mapping[str, int]
) -> dict[str, str]:
    """The precision asked for, by node; rectifiers go with the layer before them."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        data = list(node.input[: 2 if node.op_type == "Add" else 1])
        fused = [n in activations or _is_int8(graph.producer.get(n), found) for n in data]
        if node.op_type in _ARITHMETIC:
            int8 = _quantised(node, activations, weights, graph)
            partial = node.input[1] in weights
            found[node.name] = "int8" if int8 else "int8 weights" if partial else "f32"
        elif node.op_type in ("Add", "MaxPool", "AveragePool", *_RECTIFIERS):
            found[node.name] = "int8" if fused and all(fused) else "f32"
        else:
            found[node.name] = "f32"
    return found


def _is_int8(node: Any, found: Mapping[str, str]) -> bool:
    """Whether a tensor comes straight from 8-bit arithmetic, so that the next step fuses."""
    fuses = node is not None and node.op_type in ("Conv", "Add", *_RECTIFIERS)
    return fuses and found.get(node.name) == "int8"


def _int8_share(graph: Graph, precision: Mapping[str, str]) -> float:
    total = int8 = 0
    for node in graph.nodes:
        if node.op_type not in ("Conv", "Gemm") or node.input[1] not in graph.weights:
            continue
        pixels = 1
        for size in graph.shapes.get(node.output[0], ())[2:]:
            pixels *= size or 1
        macs = pixels * graph.weights[node.input[1]].size
        total += macs
        int8 += macs if precision[node.name] == "int8" else 0
    return int8 / total if total else 0.0
