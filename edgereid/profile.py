"""Parameters and multiply-adds (MACs) of a network, stage by stage, counted with fvcore.

Convention (the papers'): one multiply-add of a convolution, a linear layer or a matrix product
counts one; batch norm, activations, pooling and element-wise operators count nothing; training
heads are left out; batch 1.
fvcore's own total adds 2 per batch-norm element; it is given beside ours, never mixed with it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from edgereid.models.registry import Network, Published, build, entry

CONVENTION = (
    "1 multiply-add of a convolution, linear layer or matrix product = 1 MAC; batch norm, "
    "activations, pooling and element-wise operators not counted; training heads excluded; batch 1"
)
_COUNTED = ("conv", "linear", "matmul", "bmm")


@dataclass(frozen=True, slots=True)
class StageProfile:
    """One top-level stage: output shape (C, H, W) or (D,), parameters, MACs."""

    name: str
    output: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A profiled network; ``unsupported``: operators that fvcore does not count, and how many."""

    network: str
    input: tuple[int, int, int]
    stages: tuple[StageProfile, ...]
    parameters: int
    macs: int
    fvcore_total: int
    unsupported: dict[str, int]
    published: Published | None

    def to_json(self) -> dict[str, Any]:
        published = self.published
        return {
            "network": self.network,
            "input": list(self.input),
            "convention": CONVENTION,
            "stages": [
                {
                    "name": s.name,
                    "output": list(s.output),
                    "parameters": s.parameters,
                    "macs": s.macs,
                }
                for s in self.stages
            ],
            "parameters": self.parameters,
            "macs": self.macs,
            "fvcore_total": self.fvcore_total,
            "unsupported_operators": self.unsupported,
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
    return profile_network(name, build(name), size, known.published)


def profile_network(
    name: str, network: Network, size: tuple[int, int, int], published: Published | None = None
) -> Profile:
    """Profile ``network`` (inference form) on one image (3, H, W)."""
    network = copy.deepcopy(network).eval()  # fvcore hooks and traces: keep the caller's as it is
    x = torch.zeros(1, *size)
    shapes = _output_shapes(network, x)
    analysis = FlopCountAnalysis(network, x)
    analysis.unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    by_module = analysis.by_module_and_operator()
    stages = tuple(
        StageProfile(
            child,
            shapes[child],
            sum(p.numel() for p in module.parameters()),
            sum(int(by_module[child].get(op, 0)) for op in _COUNTED),
        )
        for child, module in network.named_children()
    )
    return Profile(
        network=name,
        input=size,
        stages=stages,
        parameters=sum(p.numel() for p in network.parameters()),
        macs=sum(int(by_module[""].get(op, 0)) for op in _COUNTED),
        fvcore_total=int(analysis.total()),
        unsupported={str(op): int(n) for op, n in sorted(analysis.unsupported_ops().items())},
        published=published,
    )


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
