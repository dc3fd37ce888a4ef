"""Averages of a network's weights over the cycles of a run: SWA, and the diagonal of SWAG.

Izmailov et al. 2018 (SWA), Maddox et al. 2019 (SWAG). The deployable network is the mean alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

MIN_VARIANCE = 1e-30


class WeightAverage:
    """Running mean and mean of squares of every parameter, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: dict[str, Tensor] = {}
        self.square: dict[str, Tensor] = {}

    def add(self, network: nn.Module) -> None:
        """Let the network's present parameters enter the averages."""
        self.count += 1
        for name, parameter in network.named_parameters():
            w = parameter.detach().cpu().double()
            for means, value in ((self.mean, w), (self.square, w.square())):
                before = means.get(name, torch.zeros_like(w))
                means[name] = before + (value - before) / self.count

    def variance(self, name: str) -> Tensor:
        """E[w^2] - E[w]^2 of a parameter, at least ``MIN_VARIANCE``."""
        return (self.square[name] - self.mean[name].square()).clamp_min(MIN_VARIANCE)

    def load_mean(self, network: nn.Module) -> None:
        """Give the network the mean of every parameter (SWA)."""
        self._load(network, self.mean)

    def load_sample(self, network: nn.Module, scale: float, generator: torch.Generator) -> None:
        """Give the network mean + scale * sqrt(variance) * z, z from N(0, 1) (SWAG)."""
        drawn = {
            name: mean
            + scale
            * self.variance(name).sqrt()
            * torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
            for name, mean in self.mean.items()
        }
        self._load(network, drawn)

    def _load(self, network: nn.Module, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(values[name])

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        return {"count": self.count, "mean": self.mean, "square": self.square}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The opposite of ``state_dict``."""
        self.count, self.mean, self.square = state["count"], state["mean"], state["square"]


def reestimate_batch_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the statistics of every batch norm by their averages over ``batches`` (N, 3, H, W).

    Averaged weights have never seen an image: the old statistics belong to other weights. Other
    layers (dropout, spectral normalisation) stay in evaluation mode; modes are restored.
    """
    modes = [(m, m.training) for m in network.modules()]
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    momenta = [m.momentum for m in norms]
    network.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
            norm.train()
        with torch.no_grad():
            for x in batches:
                network(x)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
