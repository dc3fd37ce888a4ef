"""Losses against golden values (computed once, independently, in float64) and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgereid.losses import (
    MAX_RATIO,
    circle,
    cross_entropy,
    e_trihard,
    mine_hard,
    pairwise_distances,
    soft_triplet,
    trihard,
)

X = torch.tensor([[0, 0], [1, 0], [0, 2], [3, 0], [3, 4], [5, 0]], dtype=torch.float64)
Y = torch.tensor([0, 0, 0, 1, 1, 1])
UNIT = torch.tensor([[1, 0], [1, 1], [2, 1], [0, 1], [-1, 1], [-1, 2]], dtype=torch.float64)
UNIT = UNIT / UNIT.norm(dim=1, keepdim=True)
GOLDEN = 5e-10


def naive_e_trihard(x: Tensor, y: Tensor, margin: float, beta: float) -> float:
    """Eq. 7 by loops in NumPy."""
    points, ids, terms = x.numpy(), y.numpy(), []
    for a in range(len(points)):
        d = [float(np.linalg.norm(points[a] - p)) for p in points]
        positive = [d[i] for i in range(len(d)) if ids[i] == ids[a] and i != a]
        negative = [d[i] for i in range(len(d)) if ids[i] != ids[a]]
        if positive and negative:
            ap, an = max(positive), min(negative)
            terms.append(max(0.0, ap - an + margin) + beta * min(ap / an, MAX_RATIO))
    return sum(terms) / len(terms) if terms else 0.0


def test_the_hardest_distances_are_the_golden_ones() -> None:
    hard = mine_hard(X, Y)
    root5, root13, root20 = math.sqrt(5), math.sqrt(13), math.sqrt(20)
    assert hard.positive.tolist() == pytest.approx([2, root5, root5, 4, root20, root20])
    assert hard.negative.tolist() == pytest.approx([3, 2, root13, 2, root13, 4])


@pytest.mark.parametrize(
    ("value", "golden"),
    [
        (trihard(X, Y, margin=0.3), 0.7957981020),
        (trihard(X, Y, margin=0.0), 0.5957981020),
        (e_trihard(X, Y, margin=0.3, beta=0.8), 1.6975655237),
        (e_trihard(X, Y, margin=0.0, beta=0.8), 1.4975655237),
        (e_trihard(X, Y, 0.0, 1.0) - trihard(X, Y, 0.0), 1.1272092772),
        (trihard(UNIT, Y, margin=0.3), 0.1),
        (e_trihard(UNIT, Y, margin=0.3, beta=0.8), 0.6216457142),
        (soft_triplet(X, Y), 0.6423890781),
        (soft_triplet(X, Y, margin=0.3, soft=False), 0.3865531549),
        (soft_triplet(UNIT, Y), 0.3833208832),
    ],
)
def test_triplet_losses_have_the_golden_values(value: Tensor, golden: float) -> None:
    assert float(value) == pytest.approx(golden, abs=GOLDEN)


@pytest.mark.parametrize(("eps", "golden"), [(0.0, 0.8606453667), (0.1, 0.9273120334)])
def test_cross_entropy_with_label_smoothing_has_the_golden_value(eps: float, golden: float) -> None:
    logits = torch.tensor([[2, 0, -1], [0, 1, 0]], dtype=torch.float64)
    value = cross_entropy(logits, torch.tensor([0, 2]), label_smoothing=eps)
    assert float(value) == pytest.approx(golden, abs=GOLDEN)


def test_the_soft_margin_is_the_softplus_of_the_gap() -> None:
    hard = mine_hard(X, Y)
    expected = np.log1p(np.exp((hard.positive - hard.negative).numpy())).mean()
    assert float(trihard(X, Y, soft=True)) == pytest.approx(float(expected))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(2, 12), people=st.integers(1, 4))
def test_e_trihard_agrees_with_loops(seed: int, batch: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(batch, 5)))
    y = torch.from_numpy(rng.integers(0, people, batch))
    assert float(e_trihard(x, y, 0.3, 0.8)) == pytest.approx(naive_e_trihard(x, y, 0.3, 0.8))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_the_batch_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = torch.from_numpy(rng.permutation(6))
    shuffled = e_trihard(X[order], Y[order])
    assert float(shuffled) == pytest.approx(float(e_trihard(X, Y)), rel=1e-12)


ROWS, COLUMNS = torch.arange(1.0, 9.0, dtype=torch.float64), torch.arange(1.0, 5.0)
WAVES = torch.sin(0.3 * ROWS[:, None] * COLUMNS) + 0.1 * ROWS[:, None]
PAIRS = torch.arange(8) // 2


@pytest.mark.parametrize(
    ("gamma", "golden"), [(64, 37.271997), (128, 74.518375), (256, 149.034208)]
)
def test_circle_loss_has_the_golden_values(gamma: float, golden: float) -> None:
    assert float(circle(WAVES, PAIRS, 0.25, gamma)) == pytest.approx(golden, abs=5e-7)


def test_circle_loss_has_the_golden_gradient_and_the_closed_form_of_a_collapsed_batch() -> None:
    x = WAVES.clone().requires_grad_()
    circle(x, PAIRS).backward()
    assert x.grad is not None
    assert float(x.grad.norm()) == pytest.approx(31.610053, abs=5e-7)
    collapsed = circle(torch.ones(8, 4, dtype=torch.float64), PAIRS)
    assert float(collapsed) == pytest.approx(120 + math.log(6) - 8)


def test_the_other_losses_have_the_golden_values_on_the_same_features() -> None:
    assert float(trihard(WAVES, PAIRS, margin=1.2)) == pytest.approx(1.078277, abs=5e-7)
    assert float(cross_entropy(WAVES[:, :4], PAIRS)) == pytest.approx(1.669613, abs=5e-7)
    hard = mine_hard(WAVES, PAIRS)
    positives = [0.680903] * 2 + [0.948553] * 2 + [1.307190] * 2 + [1.280656] * 2
    negatives = [1.499373, 1.165029, 1.165029, 1.035540, 1.035540, 0.962101, 0.962101, 1.583678]
    assert hard.positive.tolist() == pytest.approx(positives, abs=1e-6)
    assert hard.negative.tolist() == pytest.approx(negatives, abs=1e-6)


def naive_soft_triplet(x: Tensor, y: Tensor) -> float:
    """L4 by loops in NumPy."""
    points, ids, terms = x.numpy(), y.numpy(), []
    for a in range(len(points)):
        d = np.linalg.norm(points - points[a], axis=1)
        p, n = (ids == ids[a]) & (np.arange(len(ids)) != a), ids != ids[a]
        if p.any() and n.any():
            far = (np.exp(d[p]) * d[p]).sum() / np.exp(d[p]).sum()
            near = (np.exp(-d[n]) * d[n]).sum() / np.exp(-d[n]).sum()
            terms.append(float(np.log1p(np.exp(far - near))))
    return sum(terms) / len(terms) if terms else 0.0


def naive_circle(x: Tensor, y: Tensor, m: float, gamma: float) -> float:
    """log(1 + sum exp * sum exp) by loops; gamma must be small."""
    points, ids, terms = x.numpy(), y.numpy(), []
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    for a in range(len(unit)):
        s = unit @ unit[a]
        p, n = (ids == ids[a]) & (np.arange(len(ids)) != a), ids != ids[a]
        if p.any() and n.any():
            pull = np.exp(-gamma * np.maximum(0, 1 + m - s[p]) * (s[p] - 1 + m)).sum()
            push = np.exp(gamma * np.maximum(0, s[n] + m) * (s[n] - m)).sum()
            terms.append(float(np.log1p(pull * push)))
    return sum(terms) / len(terms) if terms else 0.0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(2, 12), people=st.integers(1, 4))
def test_soft_triplet_and_circle_agree_with_loops(seed: int, batch: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(batch, 5)))
    y = torch.from_numpy(rng.integers(0, people, batch))
    assert float(soft_triplet(x, y)) == pytest.approx(naive_soft_triplet(x, y))
    assert float(circle(x, y, 0.25, 3.0)) == pytest.approx(naive_circle(x, y, 0.25, 3.0))


@pytest.mark.parametrize("loss", [trihard, e_trihard, soft_triplet, circle])
@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (torch.zeros(6, 4), Y),  # collapsed to the origin
        (torch.ones(6, 4), Y),  # collapsed elsewhere
        (torch.randn(6, 4), torch.zeros(6, dtype=torch.long)),  # one identity: no negatives
        (torch.randn(6, 4), torch.arange(6)),  # no positives
    ],
)
def test_gradients_stay_finite_on_degenerate_batches(
    loss: object, features: Tensor, labels: Tensor
) -> None:
    assert callable(loss)
    x = features.clone().requires_grad_()
    value = loss(x, labels)
    value.backward()
    assert bool(torch.isfinite(value))
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())


def test_a_nearly_collapsed_negative_has_a_bounded_ratio() -> None:
    x = torch.tensor([[0.0], [5.0], [1e-7]])
    value = e_trihard(x, torch.tensor([0, 0, 1]), margin=0.0, beta=1.0)
    assert float(value) <= float(trihard(x, torch.tensor([0, 0, 1]), 0.0)) + MAX_RATIO


def test_distances_of_near_features_do_not_cancel() -> None:
    x = torch.full((2, 512), 100.0)
    x[1, 0] += 1e-3
    assert float(pairwise_distances(x)[0, 1]) == pytest.approx(1e-3, rel=0.02)


@pytest.mark.parametrize("loss", [cross_entropy, trihard, e_trihard, soft_triplet, circle])
def test_losses_compute_in_float32_under_autocast(loss: object) -> None:
    assert callable(loss)
    x, y = torch.randn(8, 16), torch.arange(8) % 2
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(x, y)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, loss(x, y))
    assert loss(x.bfloat16(), y).dtype == torch.float32
