"""The recipe's optimisers and loss, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from edgereid.errors import UsageError
from edgereid.losses import circle, cross_entropy, e_trihard, soft_triplet, trihard
from edgereid.models.registry import Network, TrainOutput
from edgereid.train.recipe import Recipe
from edgereid.train.spectral import plain_name

Parameters = list[Any]  # parameters, or groups of them


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
    "soft-triplet": lambda f, y, r: soft_triplet(f, y, r.margin, r.soft_margin),
    "circle": lambda f, y, r: circle(f, y, r.margin, r.gamma),
}

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"sum": torch.sum, "mean": torch.mean}


def make_optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters; those of the backbone are a group of their own.

    A group's ``lr_scale`` is its part of the recipe's rate. Raises UsageError when a beginning in
    ``recipe.backbone`` is that of no parameter.
    """
    make = OPTIMIZERS[recipe.optimizer]
    if not recipe.backbone:
        return make(list(network.parameters()), recipe)
    named = [(plain_name(n), p) for n, p in network.named_parameters()]
    for beginning in recipe.backbone:
        if not any(n.startswith(beginning) for n, _ in named):
            raise UsageError(
                f"recipe: backbone {beginning!r} is the beginning of no parameter of "
                f"{recipe.network}: they are called {named[0][0]}, ..., {named[-1][0]}."
            )
    own = {n: n.startswith(recipe.backbone) for n, _ in named}
    groups = [
        {"params": [p for n, p in named if not own[n]], "lr_scale": 1.0},
        {"params": [p for n, p in named if own[n]], "lr_scale": recipe.backbone_lr},
    ]
    return make(groups, recipe)


def loss(output: TrainOutput, labels: Tensor, recipe: Recipe, epoch: int) -> Tensor:
    """CE(heads) + aux_weight * CE(auxiliary heads) + triplet weight * metric loss(features).

    Several heads' terms are reduced by ``ce_reduce``, several features' by ``metric_reduce``.
    """
    total = _cross_entropies(output.logits, labels, recipe)
    if recipe.aux_weight and output.aux_logits:
        total = total + recipe.aux_weight * _cross_entropies(output.aux_logits, labels, recipe)
    weight = recipe.triplet_weight_at(epoch)
    if weight and not output.features:
        raise UsageError(
            f"recipe: {recipe.network} gives no feature for a metric loss: set triplet=none."
        )
    if weight:
        metric = METRIC_LOSSES[recipe.triplet]
        terms = (metric(_seen(f, recipe), labels, recipe) for f in output.features)
        total = total + weight * _reduce(terms, recipe.metric_reduce)
    return total


def _cross_entropies(logits: Iterable[Tensor], labels: Tensor, recipe: Recipe) -> Tensor:
    terms = (cross_entropy(x, labels, recipe.label_smoothing) for x in logits)
    return _reduce(terms, recipe.ce_reduce)


def _seen(features: Tensor, recipe: Recipe) -> Tensor:
    """The features as the metric loss sees them."""
    if recipe.metric_features == "raw":
        return features
    with torch.autocast(features.device.type, enabled=False):
        return functional.normalize(features.float())


def _reduce(terms: Iterable[Tensor], reduction: str) -> Tensor:
    values = list(terms)
    return values[0] if len(values) == 1 else REDUCTIONS[reduction](torch.stack(values))


def freeze_all_but_heads(network: Network, deployable: frozenset[str], frozen: bool) -> None:
    """Freeze (or thaw) every parameter of the deployable network; the training heads go on.

    While frozen those layers also keep their batch-norm statistics (evaluation mode).
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not (frozen and plain_name(name) in deployable))
    network.train()
    if frozen:
        for name, module in network.named_modules():
            own = [plain_name(f"{name}.{n}") for n, _ in module.named_parameters(recurse=False)]
            if own and all(n in deployable for n in own):
                module.eval()


def fix_norms(network: nn.Module) -> None:
    """Let every batch norm normalise by its statistics and keep them; scale and shift go on."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
