"""Learned rounding: less error at the layer's output than nearest, near the best there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.export.repair.reconstruct import loss, reconstruct


def problem(seed: int, groups: int, rows: int, inputs: int) -> tuple[np.ndarray, ...]:
    """Weights, scales and the Gram matrix of inputs that depend on each other."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(groups, rows, inputs))
    scale = np.abs(weights).max(axis=-1) / 127 * 20  # coarse, so that rounding matters
    x = rng.normal(size=(groups, inputs, 3 * inputs)) + rng.normal(size=(groups, 1, 3 * inputs)) * 3
    return weights, scale, x @ x.transpose(0, 2, 1)


def losses(levels: np.ndarray, weights: np.ndarray, scale: np.ndarray, gram: np.ndarray) -> float:
    return loss(levels * scale[..., None] - weights, gram)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4), st.integers(1, 90))
def test_it_is_deterministic_in_range_and_hardly_ever_worse_than_nearest(
    seed: int, groups: int, rows: int, inputs: int
) -> None:
    weights, scale, gram = problem(seed, groups, rows, inputs)
    found = reconstruct(weights.copy(), scale, gram)
    assert found.dtype == np.int8
    assert found.shape == weights.shape
    assert np.abs(found.astype(int)).max() <= 127
    np.testing.assert_array_equal(found, reconstruct(weights.copy(), scale, gram))
    nearest = np.clip(np.rint(weights / scale[..., None]), -127, 127)
    damping = 0.01 * np.trace(gram, axis1=1, axis2=2) / inputs
    damped = gram + damping[:, None, None] * np.eye(inputs)
    limit = losses(nearest, weights, scale, damped) * (1 + 1e-9)
    assert losses(found, weights, scale, damped) <= limit


def gptq(weights: np.ndarray, scale: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """One group, as the paper has it: by the inverse, a column at a time, the largest first."""
    order = np.argsort(-np.diag(gram))
    w, levels = weights[:, order].copy(), np.zeros_like(weights)
    upper = np.linalg.cholesky(np.linalg.inv(gram[np.ix_(order, order)])).T
    for k, column in enumerate(order):
        levels[:, column] = np.clip(np.rint(w[:, k] / scale), -127, 127)
        error = (w[:, k] - levels[:, column] * scale) / upper[k, k]
        w[:, k:] -= np.outer(error, upper[k, k:])
    return levels


@pytest.mark.parametrize("seed", range(4))
def test_it_is_gptq_wherever_that_is_better_than_nearest(seed: int) -> None:
    weights, scale, gram = problem(seed, 1, 40, 130)
    damped = gram[0] + 0.01 * np.trace(gram[0]) / 130 * np.eye(130)
    want = gptq(weights[0], scale[0], damped)
    found = reconstruct(weights, scale, gram)[0]
    nearest = np.rint(weights[0] / scale[0][:, None])
    other = (found != want).any(axis=1)
    assert other.mean() < 0.2
    np.testing.assert_array_equal(found[other], nearest[other])


def test_it_recovers_most_of_what_nearest_loses_to_the_best_rounding_by_brute_force() -> None:
    gained, possible = 0.0, 0.0
    for seed in range(20):
        weights, scale, gram = problem(seed, 1, 1, 8)
        low = np.floor(weights[0, 0] / scale[0, 0])
        best = min(
            losses((low + np.array(up))[None, None], weights, scale, gram)
            for up in itertools.product((0, 1), repeat=8)
        )
        nearest = losses(np.rint(weights / scale[..., None]), weights, scale, gram)
        found = losses(reconstruct(weights, scale, gram), weights, scale, gram)
        gained += nearest - found
        possible += nearest - best
    assert gained > 0.8 * possible > 0


def test_with_independent_inputs_nearest_is_best() -> None:
    weights, scale, _ = problem(1, 2, 3, 16)
    found = reconstruct(weights, scale, np.stack([np.eye(16)] * 2))
    np.testing.assert_array_equal(found, np.rint(weights / scale[..., None]))


@pytest.mark.parametrize("dead", ["one", "all"])
def test_inputs_that_are_always_zero_do_no_harm(dead: str) -> None:
    weights, scale, gram = problem(2, 1, 2, 12)
    silent = slice(3, 4) if dead == "one" else slice(None)
    gram[:, silent, :] = 0
    gram[:, :, silent] = 0
    found = reconstruct(weights, scale, gram)
    nearest = np.rint(weights / scale[..., None])
    np.testing.assert_array_equal(found[..., silent], nearest[..., silent])


def test_groups_are_rounded_each_by_itself() -> None:
    weights, scale, gram = problem(4, 3, 2, 10)
    whole = reconstruct(weights, scale, gram)
    for g in range(3):
        alone = reconstruct(weights[g : g + 1], scale[g : g + 1], gram[g : g + 1])
        np.testing.assert_array_equal(alone[0], whole[g])


def test_the_size_of_a_block_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgereid.export.repair import reconstruct as module

    weights, scale, gram = problem(5, 1, 3, 50)
    whole = reconstruct(weights, scale, gram)
    monkeypatch.setattr(module, "_BLOCK", 7)
    np.testing.assert_array_equal(reconstruct(weights, scale, gram), whole)
