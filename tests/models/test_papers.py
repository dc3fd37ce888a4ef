"""The papers' own blocks against golden values, literal loops and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgereid.models import registry
from edgereid.models.crops import crop_by_grid, crop_by_matmul
from edgereid.models.mgn import MGN, Branch
from edgereid.models.resnest import ResNeSt, SplitAttention, SplitOptions
from edgereid.models.robust_reid import GeM, HarmoniousAttention, UnitA, UnitB
from edgereid.models.sa_mbn import SAMBN, SelfAttention


def golden(shape: tuple[int, ...], step: float, phase: float, cosine: bool = False) -> Tensor:
    t = torch.arange(math.prod(shape), dtype=torch.float64)
    return (torch.cos(step * t) if cosine else 0.5 * torch.sin(step * t + phase)).view(shape)


def fill(parameters: list[nn.Parameter]) -> None:
    with torch.no_grad():
        for n, parameter in enumerate(parameters):
            parameter.copy_(golden(tuple(parameter.shape), 0.37, n))


def split_attention() -> SplitAttention:
    block = SplitAttention(12, SplitOptions(radix=3, cardinality=2), attention=8).double().eval()
    fill([block.conv.weight, block.fc1.weight, block.fc1.bias, block.fc2.weight, block.fc2.bias])  # type: ignore[list-item]
    return block


def test_split_attention_gives_the_golden_values() -> None:
    out = split_attention()(golden((1, 12, 4, 3), 0.21, 0, cosine=True)).detach()
    assert float(out.sum()) == pytest.approx(135.862348, abs=1e-6)
    assert float(out[0, 0, 0, 0]) == pytest.approx(0.000734447, abs=1e-9)
    assert float(out[0, 11, 3, 2]) == 0


def test_the_gate_is_cardinal_major() -> None:
    block = split_attention()
    gate = torch.randn(2, 36, 1, 1, dtype=torch.float64)
    weights = torch.stack(block.weigh(gate), 1).flatten(2)  # (B, R, w)
    for k in range(2):
        for c in range(6):
            own = torch.stack([gate[:, k * 18 + r * 6 + c, 0, 0] for r in range(3)], 1)
            torch.testing.assert_close(weights[:, :, k * 6 + c], own.softmax(1))
    wrong = gate.view(2, 3, 12).softmax(1)  # what some public code does: right for K = 1 only
    assert float((wrong - weights).abs().max()) > 0.1


def test_one_split_is_gated_by_a_sigmoid() -> None:
    block = SplitAttention(8, SplitOptions(radix=1), attention=8).eval()
    gate = torch.randn(2, 8, 1, 1)
    (weights,) = block.weigh(gate)
    torch.testing.assert_close(weights, gate.sigmoid())


def test_widths_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="width 64 does not divide by radix 3 x cardinality 2"):
        SplitAttention(64, SplitOptions(radix=3, cardinality=2))


def test_resnest_has_no_stride_outside_its_stem() -> None:
    network = ResNeSt()
    strided = [
        n for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.stride[0] > 1
    ]
    assert strided == ["conv1.0"]


def self_attention() -> SelfAttention:
    block = SelfAttention(16).double()
    fill([block.f.weight, block.g.weight, block.h.weight, block.v.weight])  # type: ignore[list-item]
    nn.init.constant_(block.gamma, 0.5)
    return block


def test_self_attention_gives_the_golden_values() -> None:
    out = self_attention()(golden((1, 16, 2, 3), 0.21, 0, cosine=True)).detach()
    assert float(out.sum()) == pytest.approx(4.123962, abs=1e-6)
    assert float(out[0, 0, 0, 0]) == pytest.approx(0.993660, abs=1e-6)
    assert float(out[0, 15, 1, 2]) == pytest.approx(0.669010, abs=1e-6)


def test_self_attention_is_a_literal_loop_over_its_equations() -> None:
    block, x = self_attention(), golden((1, 16, 2, 3), 0.21, 0, cosine=True)
    f, g, h = (m(x)[0].flatten(1) for m in (block.f, block.g, block.h))
    places, o = range(f.shape[1]), torch.zeros_like(h)
    for j in places:
        s = torch.stack([f[:, i] @ g[:, j] for i in places])
        beta = s.exp() / s.exp().sum()  # over i
        o[:, j] = sum(beta[i] * h[:, i] for i in places)
    want = block.gamma * block.v(o.view(1, 2, 2, 3)) + x
    torch.testing.assert_close(block(x), want)


def test_self_attention_begins_as_the_identity() -> None:
    block, x = SelfAttention(16), torch.randn(2, 16, 4, 2)
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)


def test_the_classifiers_of_sa_mbn_start_different_and_share_one_mask() -> None:
    torch.manual_seed(0)
    network = SAMBN(num_ids=5).train()
    assert network.classifiers is not None
    first, second = list(network.classifiers)[:2]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    assert not torch.equal(first.weight, second.weight)
    with torch.no_grad():
        for head in network.classifiers:
            head.load_state_dict(first.state_dict())
    out = network.forward_train(torch.randn(2, 3, 64, 32))
    assert all(torch.equal(out.logits[0], other) for other in out.logits[1:])


def test_the_whole_of_an_mgn_branch_is_its_largest_stripe() -> None:
    branch = Branch(3, None, False).eval()
    x = torch.randn(1, 1024, 6, 4).relu()
    maps = branch.layer4(branch.layer3(x))
    torch.testing.assert_close(branch.pool(x).whole, maps.amax((2, 3)), rtol=0, atol=0)
    thirds = [maps[:, :, 2 * i : 2 * i + 2].amax((2, 3)) for i in range(3)]
    for part, third, reduce in zip(branch.pool(x).parts, thirds, branch.reduce_parts, strict=True):
        torch.testing.assert_close(part, reduce(third[..., None, None]).flatten(1))


def test_mgn_refuses_a_height_that_does_not_split() -> None:
    with pytest.raises(ValueError, match="height 4 does not split into 3 stripes"):
        MGN(granularities=(3,)).eval()(torch.zeros(1, 3, 64, 32))


def test_the_feature_of_mgn_is_wholes_first_then_stripes() -> None:
    torch.manual_seed(0)
    network = MGN().eval()
    x = torch.rand(1, 3, 96, 32)
    with torch.inference_mode():
        feature, maps = network(x), network.trunk(x)
        pooled = [branch.pool(maps) for branch in network.branches()]
    order = [p.reduced for p in pooled] + [part for p in pooled for part in p.parts]
    torch.testing.assert_close(feature, torch.cat(order, 1))
    assert feature.min() >= 0


def test_both_crops_are_the_same_and_so_are_their_gradients() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 20, 8, dtype=torch.float64, requires_grad=True)
    theta = (2 * torch.rand(2, 4, 2, dtype=torch.float64) - 1).requires_grad_()
    found = []
    for crop in (crop_by_grid, crop_by_matmul):
        out = crop(x, theta, (6, 7))
        gradients = torch.autograd.grad((out * out.detach().cos()).sum(), (x, theta))
        found.append((out, *gradients))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_hard_attention_starts_as_four_stripes() -> None:
    module = HarmoniousAttention(32).eval()
    module.start_as_stripes()
    attention, theta = module(torch.randn(3, 32, 8, 4))
    want = torch.tensor([[0, -0.75], [0, -0.25], [0, 0.25], [0, 0.75]])
    torch.testing.assert_close(theta, want.expand(3, 4, 2), rtol=0, atol=1e-6)
    assert attention.min() >= 0.5
    assert attention.max() < 1
    rows = torch.arange(33.0).view(1, 1, 33, 1).expand(1, 1, 33, 5)
    top = crop_by_grid(rows, theta[:1], (9, 5))[:, 0, :, 0]
    torch.testing.assert_close(top[:, 0], torch.tensor([0.0, 8.0, 16.0, 24.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(top[:, -1], torch.tensor([8.0, 16.0, 24.0, 32.0]), atol=1e-4, rtol=0)


def _moved_by_noise(network: nn.Module) -> float:
    """1 - centred cosine between the embeddings of smooth images and of the same with noise."""
    draw = torch.Generator().manual_seed(1)
    x = functional.interpolate(torch.randn(12, 3, 10, 4, generator=draw), scale_factor=8.0)
    for m in network.modules():
        if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d):
            m.momentum = 1.0
    with torch.no_grad():
        network.train()(x)
        network.eval()
        clean = network(x)
        noisy = network(x + 0.005 * torch.randn(x.shape, generator=draw))
        mean = clean.mean(0)
        return float(1 - functional.cosine_similarity(clean - mean, noisy - mean).mean())


def test_robust_reid_does_not_start_as_chaos() -> None:
    torch.manual_seed(0)
    network = registry.build("robust_reid_1x")
    found = _moved_by_noise(network)
    for unit in network.modules():
        if isinstance(unit, UnitA | UnitB):
            for m in unit.modules():
                if isinstance(m, nn.BatchNorm2d):
                    nn.init.zeros_(m.bias)
    assert found < 0.1
    assert _moved_by_noise(network) > 4 * found  # PyTorch's own start


def test_gem_lies_between_the_mean_and_the_maximum() -> None:
    pool, x = GeM(), torch.rand(2, 3, 4, 4) + 0.1
    with torch.no_grad():
        pool.p.fill_(1.0)
        torch.testing.assert_close(pool(x), x.mean((2, 3)))
        pool.p.fill_(80.0)
        torch.testing.assert_close(pool(x), x.amax((2, 3)), rtol=0.05, atol=0)
