"""The recipe's optimisers and loss, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from edgereid.losses import cross_entropy, e_trihard, trihard
from edgereid.models.registry import Network, TrainOutput
from edgereid.train.recipe import Recipe

Parameters = list[nn.Parameter]


def _sgd(p: Parameters, r: Recipe) -> torch.optim.Optimizer:
    return torch.optim.SGD(p, lr=r.lr, momentum=r.momentum, weight_decay=r.weight_decay)


def _adam(p: Parameters, r: Recipe) -> torch.optim.Optimizer:
    return torch.optim.Adam(p, lr=r.lr, betas=r.betas, weight_decay=r.weight_decay)


def _amsgrad(p: Parameters, r: Recipe) -> torch.optim.Optimizer:
    return torch.optim.Adam(p, lr=r.lr, betas=r.betas, weight_decay=r.weight_decay, amsgrad=True)


def _adamw(p: Parameters, r: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(p, lr=r.lr, betas=r.betas, weight_decay=r.weight_decay)


OPTIMIZERS: dict[str, Callable[[Parameters, Recipe], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "amsgrad": _amsgrad,
    "adamw": _adamw,
}

MetricLoss = Callable[[Tensor, Tensor, Recipe], Tensor]

METRIC_LOSSES: dict[str, MetricLoss] = {
    "trihard": lambda f, y, r: trihard(f, y, r.margin, r.soft_margin),
    "e-trihard": lambda f, y, r: e_trihard(f, y, r.margin, r.beta, r.soft_margin),
}


def make_optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters."""
    return OPTIMIZERS[recipe.optimizer](list(network.parameters()), recipe)


def loss(output: TrainOutput, labels: Tensor, recipe: Recipe, epoch: int) -> Tensor:
    """CE(heads) + aux_weight * CE(auxiliary heads) + triplet weight * metric loss(features)."""
    total = _sum(cross_entropy(x, labels, recipe.label_smoothing) for x in output.logits)
    if recipe.aux_weight and output.aux_logits:
        aux = _sum(cross_entropy(x, labels, recipe.label_smoothing) for x in output.aux_logits)
        total = total + recipe.aux_weight * aux
    weight = recipe.triplet_weight_at(epoch)
    if weight:
        metric = METRIC_LOSSES[recipe.triplet]
        total = total + weight * _sum(metric(f, labels, recipe) for f in output.features)
    return total


def _sum(terms: Iterator[Tensor]) -> Tensor:
    total = next(terms)
    for term in terms:
        total = total + term
    return total


def freeze_all_but_heads(network: Network, deployable: frozenset[str], frozen: bool) -> None:
    """Freeze (or thaw) every parameter of the deployable network; the training heads go on.

    While frozen those layers also keep their batch-norm statistics (evaluation mode).
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not (frozen and name in deployable))
    network.train()
    if frozen:
        for name, module in network.named_modules():
            own = [f"{name}.{n}" for n, _ in module.named_parameters(recurse=False)]
            if own and all(n in deployable for n in own):
                module.eval()
