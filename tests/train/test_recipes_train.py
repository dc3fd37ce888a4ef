"""Every packaged recipe takes one step with its network, at a tiny size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgereid.models import registry
from edgereid.train import recipe as recipes
from edgereid.train.images import LoadedBatch
from edgereid.train.optimise import freeze_all_but_heads, make_optimizer
from edgereid.train.processes import Processes
from edgereid.train.spectral import add_spectral_norm
from edgereid.train.step import Stepper

LIGHT = 3_000_000  # parameters; recipes of larger networks are slow


def each() -> list[object]:
    """All recipes; every one names a network that exists."""
    return [pytest.param(n, marks=[pytest.mark.slow] if heavy(n) else []) for n in recipes.names()]


def heavy(recipe: str) -> bool:
    with torch.device("meta"):
        network = registry.build(recipes.load(recipe).network)
        return sum(p.numel() for p in network.parameters()) > LIGHT


@pytest.mark.parametrize("name", each())
def test_one_step_of_a_recipe_moves_the_weights(name: str) -> None:
    recipe = replace(recipes.load(name), identities=2, images=2)
    torch.manual_seed(0)
    network = registry.build(recipe.network, 5)
    if recipe.spectral_norm:
        add_spectral_norm(network)
    size = recipe.sizes[0]
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(4, size.height, size.width, 3)).astype(np.float32)
    freeze_all_but_heads(network, frozenset(), frozen=False)
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    group = Processes(torch.device("cpu"))
    stepper = Stepper(network, make_optimizer(network, recipe), recipe, group)
    late = recipe.base_epochs - 1  # all terms of the loss are on
    value = stepper.step(LoadedBatch(pixels, np.array([0, 0, 1, 1])), late, late, 0)
    assert np.isfinite(value)
    moved = [n for n, p in network.named_parameters() if not torch.equal(p, before[n])]
    assert len(moved) > len(before) / 2
