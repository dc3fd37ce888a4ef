"""The exported float network, run by PyTorch node by node, rounding where the target rounds.

What is trained is the ONNX graph itself, batch norm folded: its tensors are those that placement
speaks of and that the calibration table knows, so there is no mapping that could go wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from edgereid.calibration.table import CalibrationTable
from edgereid.export.graph import Graph
from edgereid.export.placement import Placement
from edgereid.export.policy import PlacementPolicy
from edgereid.train.qat.backend import Backend
from edgereid.train.qat.grid import Grid
from edgereid.train.qat.operators import Attributes, Operator, attributes_of, operator

_LAYERS = ("Conv", "Gemm")


@dataclass(frozen=True, slots=True)
class Roundings:
    """``activations``: tensor -> its grid, one for all that share a range; ``weights``:
    initializer -> a backend's module; ``stored``: the nodes that read rounded weights, which
    others may share in float."""

    activations: Mapping[str, Grid] = field(default_factory=dict)
    weights: Mapping[str, nn.Module] = field(default_factory=dict)
    sources: Mapping[str, Grid] = field(default_factory=dict)  # by entry of the table
    stored: Collection[str] = ()


def roundings(
    placement: Placement,
    table: CalibrationTable,
    policy: PlacementPolicy,
    backend: Backend,
    learned: bool,
) -> Roundings:
    """What the Q/DQ writer would put where. Raises InputError when the table is of another model or
    target."""
    sources: dict[str, Grid] = {}
    for source in dict.fromkeys(placement.activations.values()):
        scheme = policy.nonnegative if table.entry(source).nonnegative else policy.signed
        rounding = backend.activation(scheme.qmin, scheme.qmax)
        sources[source] = Grid(scheme, table.range(source, scheme), rounding, learned)
    activations = {name: sources[source] for name, source in placement.activations.items()}
    weights = {name: backend.weight(axis) for name, axis in placement.weights.items()}
    return Roundings(activations, weights, sources, placement.stored)


@dataclass(frozen=True, slots=True)
class _Step:
    run: Operator
    attributes: Attributes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    last: tuple[str, ...]  # values that nobody reads after this step


class GraphNetwork(nn.Module):
    """Images (B, 3, H, W) -> features (B, D), float32, on the CPU.

    Trained are the weights and biases of convolutions and linear layers, and what ``rounding``
    learns. Raises InputError for an operator that cannot be trained.
    """

    def __init__(self, graph: Graph, rounding: Roundings) -> None:
        super().__init__()
        names = _trained(graph)
        self._trained = nn.ParameterList(_tensor(graph, name) for name in names)
        self._names = tuple(names)
        self._constants = {n: _tensor(graph, n) for n in graph.weights if n not in set(names)}
        self._rounding = rounding
        # registered, so that their parameters are found
        self._grids = nn.ModuleList(rounding.sources.values())
        self._weight_modules = nn.ModuleList(rounding.weights.values())
        self._input, self._output = graph.input, str(graph.model.graph.output[0].name)
        self._steps = _steps(graph, self._output, rounding.stored)

    def weights(self) -> dict[str, Tensor]:
        """The trained tensors by the names that they have in the graph."""
        return dict(zip(self._names, (p.detach() for p in self._trained), strict=True))

    def forward(self, images: Tensor) -> Tensor:
        grids = self._rounding.activations
        values: dict[str, Tensor] = dict(self._constants)
        values.update(zip(self._names, self._trained, strict=True))
        for name, module in self._rounding.weights.items():
            values[f"{name}/dq"] = module(values[name])
        values[self._input] = grids[self._input](images) if self._input in grids else images
        result = values[self._input]
        for step in self._steps:
            made = step.run([values[n] for n in step.inputs], step.attributes)
            for name, value in zip(
                step.outputs, (made,) if isinstance(made, Tensor) else made, strict=True
            ):
                result = value if name == self._output else result  # as it is, never rounded
                values[name] = grids[name](value) if name in grids else value
            for name in step.last:
                del values[name]
        return result


def _trained(graph: Graph) -> list[str]:
    """Weights and biases of layers, each once."""
    found: dict[str, None] = {}
    for node in graph.nodes:
        if node.op_type in _LAYERS:
            found.update((n, None) for n in node.input[1:3] if n in graph.weights)
    return list(found)


def _tensor(graph: Graph, name: str) -> Tensor:
    return torch.from_numpy(graph.weights[name].copy())


def _steps(graph: Graph, output: str, stored: Collection[str]) -> list[_Step]:
    last: dict[str, int] = {n: i for i, node in enumerate(graph.nodes) for n in node.input}
    made = {n for node in graph.nodes for n in node.output}
    steps = []
    for i, node in enumerate(graph.nodes):
        attributes: dict[str, Any] = {**attributes_of(node), "outputs": len(node.output)}
        read = tuple(dict.fromkeys(n for n in node.input if n in made and n != output))
        done = tuple(n for n in read if last[n] == i)
        inputs = list(node.input)
        if node.name in stored:
            inputs[1] = f"{inputs[1]}/dq"
        steps.append(_Step(operator(node), attributes, tuple(inputs), tuple(node.output), done))
    return steps
