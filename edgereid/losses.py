"""Losses of the papers: cross entropy with label smoothing, batch-hard triplet (TriHard), its
regularised form E-TriHard (DSLNet paper, eq. 7), batch-soft weighted triplet (Robust-ReID), circle.

All of them compute in float32 (float64 when given float64) whatever autocast does: a difference of
two distances has no room for bfloat16's eight bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MIN_SQUARED_DISTANCE = 1e-12  # below it the square root's gradient is cut instead of infinite
MAX_RATIO = 10.0  # of d_ap / d_an: a nearly collapsed batch must not outweigh everything else


@dataclass(frozen=True, slots=True)
class HardDistances:
    """Distances mined inside a batch, for the anchors that have a positive and a negative: (A,)."""

    positive: Tensor
    negative: Tensor


def _full_precision(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of logits (B, C) and labels (B,) int64; target (1-eps)*onehot + eps/C."""
    with torch.autocast(logits.device.type, enabled=False):
        return functional.cross_entropy(
            _full_precision(logits), labels, label_smoothing=label_smoothing
        )


def pairwise_distances(features: Tensor) -> Tensor:
    """Euclidean distances (B, B) of features (B, D), from differences (no cancellation)."""
    with torch.autocast(features.device.type, enabled=False):
        x = _full_precision(features)
        squared = (x[:, None] - x[None]).square().sum(-1)
        return squared.clamp_min(MIN_SQUARED_DISTANCE).sqrt()


def mine_hard(features: Tensor, labels: Tensor) -> HardDistances:
    """For every anchor the farthest positive (not itself) and the nearest negative of the batch.

    Anchors without a positive or without a negative are left out, so A may be 0.
    """
    distances = pairwise_distances(features)
    positives, negatives, usable = _pairs(labels)
    positive = distances.masked_fill(~positives, float("-inf")).amax(1)
    negative = distances.masked_fill(~negatives, float("inf")).amin(1)
    return HardDistances(positive[usable], negative[usable])


def _hinge(hard: HardDistances, margin: float, soft: bool) -> Tensor:
    gap = hard.positive - hard.negative
    return functional.softplus(gap) if soft else (gap + margin).clamp_min(0)


def _mean(values: Tensor, features: Tensor) -> Tensor:
    """Mean over the anchors; with none of them 0, still part of the graph."""
    return values.mean() if len(values) else _full_precision(features).sum() * 0.0


def trihard(features: Tensor, labels: Tensor, margin: float = 0.3, soft: bool = False) -> Tensor:
    """Batch-hard triplet loss: mean [d_ap - d_an + margin]_+ ; ``soft``: softplus(d_ap - d_an).

    Features (B, D) as they come, labels (B,). 0 when no anchor has a positive and a negative.
    """
    return _mean(_hinge(mine_hard(features, labels), margin, soft), features)


def e_trihard(
    features: Tensor, labels: Tensor, margin: float = 0.3, beta: float = 0.8, soft: bool = False
) -> Tensor:
    """E-TriHard (DSLNet paper, eq. 7): TriHard + beta * mean(d_ap / d_an).

    The ratio is cut at ``MAX_RATIO``, where its gradient is zero and the hinge does the work.
    """
    hard = mine_hard(features, labels)
    ratio = (hard.positive / hard.negative.clamp_min(1e-12)).clamp_max(MAX_RATIO)
    return _mean(_hinge(hard, margin, soft) + beta * ratio, features)


def soft_triplet(
    features: Tensor, labels: Tensor, margin: float = 0.3, soft: bool = True
) -> Tensor:
    """Batch-soft weighted triplet loss (Robust-ReID paper, L4; ``soft=False``: L3 with margin).

    A positive weighs softmax(d), a negative softmax(-d) among the anchor's own; the gradient flows
    through the weights too. Features (B, D) as they come; 0 when no anchor has both.
    """
    distances = pairwise_distances(features)
    positives, negatives, usable = _pairs(labels)
    d = distances[usable]
    far = _expectation(d, d, positives[usable])
    near = _expectation(d, -d, negatives[usable])
    return _mean(_hinge(HardDistances(far, near), margin, soft), features)


def _pairs(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Who is a positive (not itself) and a negative of whom (B, B); which anchors have both (B,)"""
    same = labels[:, None] == labels[None]
    positives = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return positives, ~same, positives.any(1) & (~same).any(1)


def _expectation(values: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    """Rows of ``values`` weighted by softmax(``scores``) over the ``mask``: (A,)."""
    return (scores.masked_fill(~mask, float("-inf")).softmax(1) * values).sum(1)


def circle(features: Tensor, labels: Tensor, margin: float = 0.25, gamma: float = 128.0) -> Tensor:
    """Circle loss (Sun et al. 2020, eq. 6) of every anchor, mean over the anchors with both kinds.

    Features (B, D) are normalised here. Pairs that do not count are left out by -inf; the factors
    alpha are constants for the gradient.
    """
    with torch.autocast(features.device.type, enabled=False):
        x = functional.normalize(_full_precision(features))
        similarities = x @ x.T
    positives, negatives, usable = _pairs(labels)
    s = similarities[usable]
    alpha_p = (1 + margin - s).clamp_min(0).detach()
    alpha_n = (s + margin).clamp_min(0).detach()
    pull = (-gamma * alpha_p * (s - (1 - margin))).masked_fill(~positives[usable], float("-inf"))
    push = (gamma * alpha_n * (s - margin)).masked_fill(~negatives[usable], float("-inf"))
    return _mean(functional.softplus(push.logsumexp(1) + pull.logsumexp(1)), features)
