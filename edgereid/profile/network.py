"""Parameters, multiply-adds, activations and peak activation memory of one network."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgereid.models.registry import Network, Published, build, entry
from edgereid.profile.counting import ACTIVATIONS, CONVENTION, Counts, count, may_multiply
from edgereid.profile.memory import PEAK_MEMORY, Peak, peak, record

CONVENTIONS = {"macs": CONVENTION, "activations": ACTIVATIONS, "peak_memory": PEAK_MEMORY}


@dataclass(frozen=True, slots=True)
class StageProfile:
    """One top-level stage: output shape (C, H, W) or (D,), parameters, MACs, activations."""

    name: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    activations: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A profiled network; ``unsupported``: operators that fvcore does not count, and how many;
    ``peak``: of activation memory in FP32."""

    network: str
    input: tuple[int, int, int]
    stages: tuple[StageProfile, ...]
    parameters: int
    macs: int
    activations: int
    peak: Peak
    fvcore_total: int
    unsupported: dict[str, int]
    published: Published | None

    def figures(self) -> dict[str, Any]:
        """The totals as JSON."""
        return {
            "network": self.network,
            "input": list(self.input),
            "parameters": self.parameters,
            "macs": self.macs,
            "activations": self.activations,
            "peak_memory": {
                "bytes": self.peak.bytes,
                "stage": self.peak.stage,
                "operator": self.peak.operator,
            },
            "fvcore_total": self.fvcore_total,
            "unsupported_operators": self.unsupported,
            "may_multiply": list(may_multiply(self.unsupported)),
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, stage by stage."""
        published = self.published
        return {
            **self.figures(),
            "convention": CONVENTION,
            "conventions": CONVENTIONS,
            "stages": [
                {
                    "name": s.name,
                    "output": list(s.output),
                    "parameters": s.parameters,
                    "macs": s.macs,
                    "activations": s.activations,
                }
                for s in self.stages
            ],
            "published": None
            if published is None
            else {
                "parameters": published.parameters,
                "macs": published.macs,
                "source": published.source,
                "deviation": published.deviation,
                "outputs": {k: list(v) for k, v in published.outputs.items()},
            },
        }


def profile(name: str) -> Profile:
    """Profile a registered network at its own input size. Raises UsageError on an unknown name."""
    known = entry(name)
    size = (3, known.input.height, known.input.width)
    return _profile(name, build(name), size, known.published)


def profile_network(
    name: str, network: Network, size: tuple[int, int, int], published: Published | None = None
) -> Profile:
    """Profile ``network`` (inference form) on one image (3, H, W); it stays as it is."""
    return _profile(name, copy.deepcopy(network), size, published)


def _profile(
    name: str, network: Network, size: tuple[int, int, int], published: Published | None
) -> Profile:
    """Profile a network that is needed no more: fvcore hooks and traces it, its weights go."""
    network.eval()
    x = torch.zeros(1, *size)
    shapes = _output_shapes(network, x)
    found = count(network, x)
    network.to("meta")  # memory follows from shapes
    return Profile(
        network=name,
        input=size,
        stages=_stages(network, shapes, found),
        parameters=_parameters(network),
        macs=found.macs[""],
        activations=found.activations[""],
        peak=peak(record(network, x.to("meta"))),
        fvcore_total=found.fvcore_total,
        unsupported=found.unsupported,
        published=published,
    )


def _stages(
    network: nn.Module, shapes: dict[str, tuple[int, ...]], found: Counts
) -> tuple[StageProfile, ...]:
    return tuple(
        StageProfile(
            child, shapes[child], _parameters(module), found.macs[child], found.activations[child]
        )
        for child, module in network.named_children()
    )


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _output_shapes(network: nn.Module, x: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """The shape, without the batch, that each direct child puts out."""
    shapes: dict[str, tuple[int, ...]] = {}
    handles = [
        child.register_forward_hook(
            lambda _m, _i, out, name=name: shapes.__setitem__(name, _shape(out))
        )
        for name, child in network.named_children()
    ]
    with torch.inference_mode():
        network(x)
    for handle in handles:
        handle.remove()
    return shapes


def _shape(output: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[int, ...]:
    """Without the batch; of several outputs the first one's."""
    first = output if isinstance(output, torch.Tensor) else output[0]
    return tuple(first.shape[1:])
