"""Rounding in training is rounding in the engine, and its gradients are the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgereid.calibration.scheme import INT8, SCHEMES, UINT8, UINT8_AFFINE, Range, Scheme
from edgereid.export.weight_codes import minmax
from edgereid.train.qat.backend import Backend
from edgereid.train.qat.grid import Grid

RANGES = {
    "int8": Range(-2.0, 3.1),
    "uint8": Range(0.0, 1.7),
    "uint8_affine": Range(-0.4, 2.9),
}


def grid(scheme: Scheme, backend: Backend, range: Range | None = None) -> Grid:
    return Grid(
        scheme, range or RANGES[scheme.name], backend.activation(scheme.qmin, scheme.qmax), True
    )


@pytest.mark.parametrize("name", RANGES)
def test_values_move_to_the_points_that_the_law_of_quantize_linear_names(
    name: str, backend: Backend
) -> None:
    x = np.random.default_rng(1).normal(0, 2, 5000).astype(np.float32)
    scheme = SCHEMES[name]
    got = grid(scheme, backend)(torch.from_numpy(x)).detach().numpy()
    wanted = scheme.fake_quantize(x, RANGES[name])
    step = float(scheme.parameters(RANGES[name])[0])
    assert np.abs(got - wanted).max() < 1.01 * step
    # a value in the middle of two points, to the last bits, may go to either
    assert np.mean(np.abs(got - wanted) > 1e-5) < 1e-3


@pytest.mark.parametrize("name", RANGES)
def test_gradients_are_those_of_torchs_own_fake_quantisation(name: str, backend: Backend) -> None:
    scheme = SCHEMES[name]
    scale, zero = scheme.parameters(RANGES[name])
    x = torch.linspace(-4, 4, 1001).requires_grad_()
    (grid(scheme, backend)(x) * torch.arange(1001)).sum().backward()
    other = x.detach().clone().requires_grad_()
    made = torch.fake_quantize_per_tensor_affine(
        other, float(scale), zero, scheme.qmin, scheme.qmax
    )
    (made * torch.arange(1001)).sum().backward()
    assert x.grad is not None
    assert other.grad is not None
    # a step at the ends may count as inside or as outside: some of these 1001 values
    assert int((~torch.isclose(x.grad, other.grad, rtol=1e-4)).sum()) <= 10


def test_the_step_learns_as_in_learned_step_size_quantization(backend: Backend) -> None:
    module = grid(INT8, backend)
    x = torch.cat([torch.linspace(-3, 3, 400), torch.tensor([-4.0, 4.0, 5.0])])
    module(x).sum().backward()
    s, _ = INT8.parameters(RANGES["int8"])
    v = x.numpy().astype(np.float64) / float(s)
    inside = np.abs(v) <= 127
    by_step = np.where(inside, np.rint(v) - v, np.clip(np.rint(v), -128, 127))
    assert module.growth.grad is not None
    assert float(module.growth.grad) == pytest.approx(by_step.sum() * float(s), rel=1e-3, abs=0.1)


@pytest.mark.parametrize("scheme", [INT8, UINT8, UINT8_AFFINE], ids=lambda s: s.name)
@pytest.mark.parametrize("growth", [0.0, 0.37, -1.2])
def test_the_delivered_range_gives_the_writer_the_same_step_and_zero_point(
    scheme: Scheme, growth: float, backend: Backend
) -> None:
    module = grid(scheme, backend)
    with torch.no_grad():
        module.growth.fill_(growth)
    scale, zero = scheme.parameters(module.range())
    assert float(scale) == float(module.step.detach())
    assert zero == module.zero


@pytest.mark.parametrize(("shape", "axis"), [((6, 3, 3, 3), 0), ((5, 4), 1), ((4, 1, 3, 3), 0)])
def test_weights_move_to_the_codes_that_the_writer_stores(
    shape: tuple[int, ...], axis: int, backend: Backend
) -> None:
    weight = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    leaf = torch.from_numpy(weight).clone().requires_grad_()
    got = backend.weight(axis)(leaf)
    np.testing.assert_allclose(got.detach().numpy(), minmax(weight, axis).values(), atol=1e-6)
    got.sum().backward()
    assert leaf.grad is not None
    assert float(leaf.grad.mean()) > 0.5  # passed on, not lost in rounding


def test_a_channel_of_zeros_stays_zero(backend: Backend) -> None:
    weight = torch.ones(3, 2, 1, 1)
    weight[1] = 0
    assert torch.equal(backend.weight(0)(weight)[1], torch.zeros(2, 1, 1))
