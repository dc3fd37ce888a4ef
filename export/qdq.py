"""The one Q/DQ writer: a float ONNX model, a calibration table and a policy give a quantised model.

A quantised tensor is rounded once, by QuantizeLinear and DequantizeLinear right after it is made,
and everyone reads the result. Weights are stored as 8-bit integers before a DequantizeLinear, so
the file shrinks; biases stay float32.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.scheme import MIN_SCALE
from edgereid.calibration.table import CalibrationTable
from edgereid.errors import InputError
from edgereid.export.graph import Graph
from edgereid.export.placement import Placement, place
from edgereid.export.policy import PlacementPolicy
from edgereid.export.weight_codes import WeightCodes, minmax, raised

MIN_OPSET = 13  # the first with scales per channel
_MOST_BIAS = 2**30  # in 32 bits, with room for the sum of products


def quantize(
    model: Any,
    table: CalibrationTable,
    policy: PlacementPolicy,
    keep: Collection[str] = (),
    codes: Mapping[str, WeightCodes] | None = None,
    weights: bool = True,
) -> tuple[Any, Placement]:
    """A quantised copy of an onnx.ModelProto, and what was placed where; the nodes named in
    ``keep`` stay float. ``codes`` (initializer -> its integers and scales) are taken as they are;
    weights without are rounded to the nearest on scales that hold the largest. ``weights``: False
    leaves all of them as they are, to see what the ranges alone do.

    Raises InputError when the model's operator set is too old, or the table or the codes are not
    of this model.
    """
    graph = Graph(model)
    if graph.opset < MIN_OPSET:
        raise InputError(
            f"the ONNX model has operator set {graph.opset}; scales per channel need {MIN_OPSET}."
        )
    if codes and (unknown := codes.keys() - graph.weights.keys()):
        raise InputError(f"codes were given for {min(unknown)!r}, which is no weight of the model.")
    placement, table = place(graph, policy, keep), table.of(policy.target)
    writer = _Writer(graph, placement.stored if weights else ())
    grids: dict[str, tuple[np.float32, Any]] = {}
    for name, source in (*placement.activations.items(), *placement.carried.items()):
        entry = table.entry(source)
        scheme = policy.nonnegative if entry.nonnegative else policy.signed
        scale, zero = scheme.parameters(table.range(source, scheme))
        grids[name] = scale, np.dtype(scheme.dtype).type(zero)
    least = _least_scales(graph, placement, {name: scale for name, (scale, _) in grids.items()})
    for name, axis in placement.weights.items() if weights else ():
        made = _codes(graph, name, axis, codes or {})
        writer.weight(name, raised(made, least[name]) if name in least else made)
    for name in placement.activations:
        writer.activation(name, *grids[name])
    return writer.finish(), placement


def _least_scales(
    graph: Graph, placement: Placement, scales: Mapping[str, np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Weight -> the least scale of each channel with which its layers can be computed in 8 bits.

    A runtime stores the bias as a 32-bit integer on the product of both scales. A channel of tiny
    or no weights would have a product on which its bias does not fit, or none at all.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for node in graph.nodes:
        if node.op_type not in ("Conv", "Gemm") or node.name not in placement.stored:
            continue
        if node.input[0] not in scales:
            continue
        weight, given = node.input[1], float(scales[node.input[0]])
        channels = graph.weights[weight].shape[placement.weights[weight]]
        least = np.full(channels, MIN_SCALE / given)
        bias = graph.weights.get(node.input[2]) if len(node.input) > 2 else None
        if bias is not None and bias.size in (1, channels):
            bias = np.broadcast_to(bias.reshape(-1), channels)
            least = np.maximum(least, np.abs(bias.astype(np.float64)) / (given * _MOST_BIAS))
        found[weight] = np.maximum(least, found.get(weight, least))
    return found


def _codes(graph: Graph, name: str, axis: int, given: Mapping[str, WeightCodes]) -> WeightCodes:
    weight = graph.weights[name]
    if name not in given:
        return minmax(weight, axis)
    codes = given[name]
    if (codes.integers.shape, codes.axis) != (weight.shape, axis):
        raise InputError(
            f"the codes of weight {name!r} have shape {codes.integers.shape} with scales along "
            f"axis {codes.axis}; the model has {weight.shape} along {axis}: they are another's."
        )
    return codes


class _Writer:
    """Collects Q/DQ nodes, then puts each right behind what it reads."""

    def __init__(self, graph: Graph, stored: Collection[str]) -> None:
        self.graph = graph
        self.stored = stored  # nodes that read 8-bit weights
        self.weights: list[Any] = []  # DequantizeLinear of weights
        self.behind: dict[str, list[Any]] = {}  # tensor -> its QuantizeLinear, DequantizeLinear
        self.constants: dict[str, NDArray[Any]] = {}

    def weight(self, name: str, codes: WeightCodes) -> None:
        from onnx import helper

        self.constants |= {
            f"{name}/q": codes.integers,
            f"{name}/scale": codes.scale,
            f"{name}/zero": np.zeros(len(codes.scale), dtype=np.int8),
        }
        self.weights.append(
            helper.make_node(
                "DequantizeLinear",
                [f"{name}/q", f"{name}/scale", f"{name}/zero"],
                [f"{name}/dq"],
                name=f"{name}/dq",
                axis=codes.axis,
            )
        )

    def activation(self, name: str, scale: np.float32, zero: Any) -> None:
        from onnx import helper

        # The integer constant is shared by all tensors with the same type and zero point.
        point = f"zero/{zero.dtype}/{int(zero)}"
        self.constants |= {f"{name}/scale": np.asarray(scale), point: np.asarray(zero)}
        parameters = [f"{name}/scale", point]
        self.behind[name] = [
            helper.make_node(
                "QuantizeLinear", [name, *parameters], [f"{name}/q"], name=f"{name}/q"
            ),
            helper.make_node(
                "DequantizeLinear", [f"{name}/q", *parameters], [f"{name}/dq"], name=f"{name}/dq"
            ),
        ]

    def finish(self) -> Any:
        """The quantised model."""
        import onnx
        from onnx import numpy_helper

        model = copy.deepcopy(self.graph.model)
        replaced = {node.name.removesuffix("/dq") for node in self.weights}
        nodes = [*self.weights, *self.behind.get(self.graph.input, [])]
        for node in model.graph.node:
            node.input[:] = [f"{n}/dq" if n in self.behind else n for n in node.input]
            if node.name in self.stored:
                node.input[1] = f"{node.input[1]}/dq"
            nodes.append(node)
            for name in node.output:
                nodes += self.behind.get(name, [])
        read = {name for node in nodes for name in node.input}
        kept = [i for i in model.graph.initializer if i.name not in replaced or i.name in read]
        kept += [numpy_helper.from_array(a, name) for name, a in self.constants.items()]
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.initializer.extend(kept)
        model.graph.node.extend(nodes)
        onnx.checker.check_model(model)
        return model
