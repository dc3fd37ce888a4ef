"""Averaged weights (SWA, SWAG), spectral normalisation and its folding, batch norm after it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from edgereid.models import registry
from edgereid.train.checkpoint import load
from edgereid.train.recipe import Recipe
from edgereid.train.run import TrainOptions, run_training
from edgereid.train.spectral import add_spectral_norm, folded_state, plain_name
from edgereid.train.swa import MIN_VARIANCE, WeightAverage, reestimate_batch_norm


def test_mean_and_variance_are_those_of_numpy() -> None:
    layer, average = nn.Linear(3, 2).double(), WeightAverage()
    seen = np.random.default_rng(0).normal(size=(5, 2, 3))
    for weight in seen:
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
        average.add(layer)
    average.load_mean(layer)
    np.testing.assert_allclose(layer.weight.detach(), seen.mean(0))
    np.testing.assert_allclose(average.variance("weight"), seen.var(0), rtol=1e-9)
    assert float(average.variance("bias").max()) == MIN_VARIANCE  # it never moved
    draws = []
    generator = torch.Generator().manual_seed(0)
    for _ in range(2000):
        average.load_sample(layer, 0.5, generator)
        draws.append(layer.weight.detach().numpy().copy())
    np.testing.assert_allclose(np.std(draws, axis=0), 0.5 * seen.std(0), rtol=0.08)


def test_reestimated_statistics_are_the_mean_over_the_batches() -> None:
    norm = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5)).eval()
    batches = [torch.randn(6, 2, 3, 3) * 3 + 1 for _ in range(4)]
    reestimate_batch_norm(norm, batches)
    first = norm[0]
    assert isinstance(first, nn.BatchNorm2d)
    mean, variance = first.running_mean, first.running_var
    assert mean is not None
    assert variance is not None
    means = torch.stack([b.mean((0, 2, 3)) for b in batches])
    variances = torch.stack([b.var((0, 2, 3)) for b in batches])
    torch.testing.assert_close(mean, means.mean(0))
    torch.testing.assert_close(variance, variances.mean(0))
    assert first.momentum == 0.1
    assert not first.training


def test_a_run_with_averages_resumes_to_the_same_weights_and_leaves_the_variances(
    market: Path, tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgereid.train.interrupt import StopRequested
    from edgereid.train.loop import Trainer

    recipe = replace(recipe, epochs=4, swa_cycles=3, swa_cycle_epochs=1, triplet="none")
    whole = TrainOptions(recipe=recipe, data=market, out=tmp_path / "whole", threads=1)
    run_training(whole)
    options = replace(whole, out=tmp_path / "run")
    original, done = Trainer._step, []

    def step(self: Trainer, *args: object) -> float:
        done.append(original(self, *args))  # type: ignore[arg-type]
        self.interrupt.requested = len(done) == 13  # in the second cycle
        return done[-1]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", step)
        with pytest.raises(StopRequested):
            run_training(options)
    assert load(options.out / "last.pt").average["count"] == 1
    run_training(replace(options, resume=True))
    for name in ("weights.safetensors", "swag.safetensors"):
        assert (options.out / name).read_bytes() == (whole.out / name).read_bytes()
    state, swag = load(whole.out / "last.pt"), load_file(whole.out / "swag.safetensors")
    written = load_file(whole.out / "weights.safetensors")
    assert state.average["count"] == 3
    torch.testing.assert_close(written["fc.0.weight"], swag["mean.fc.0.weight"])
    assert not torch.equal(written["fc.0.weight"], state.model["fc.0.weight"])
    assert float(swag["variance.fc.0.weight"].max()) > MIN_VARIANCE


def test_folded_weights_give_the_same_bits_and_leave_the_network_alone() -> None:
    torch.manual_seed(0)
    normalised = registry.build("tiny", 5)
    add_spectral_norm(normalised)
    before = {k: v.clone() for k, v in normalised.state_dict().items()}
    state = folded_state(normalised.train())
    assert all(torch.equal(v, before[k]) for k, v in normalised.state_dict().items())
    assert all(m.training for m in normalised.modules())
    plain = registry.build("tiny", 5)
    plain.load_state_dict(state)  # exactly the plain names
    x = torch.randn(3, 3, 32, 16)
    with torch.no_grad():
        assert torch.equal(plain.eval()(x), normalised.eval()(x))
    assert {plain_name(n) for n, _ in normalised.named_parameters()} == {
        n for n, _ in plain.named_parameters()
    }


def test_training_with_spectral_norm_writes_plain_weights(
    market: Path, tmp_path: Path, recipe: Recipe
) -> None:
    recipe = replace(recipe, epochs=1, spectral_norm=True, backbone=("stem.",), backbone_lr=0.0)
    options = TrainOptions(recipe=recipe, data=market, out=tmp_path / "run", threads=1)
    run_training(options)
    written = load_file(tmp_path / "run" / "weights.safetensors")
    assert written.keys() == registry.build("tiny").state_dict().keys()
    for name, value in written.items():
        if name.endswith("0.weight") and value.dim() == 4:
            largest = torch.linalg.matrix_norm(value.flatten(1).double(), 2)
            assert float(largest) == pytest.approx(1.0, abs=0.1), name
    assert json.loads((tmp_path / "run" / "weights.json").read_text())["recipe"]["spectral_norm"]
