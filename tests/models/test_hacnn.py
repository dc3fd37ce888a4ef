"""HA-CNN against torchreid's definition: names, counts in closed form, values its code gave."""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from edgereid.models.crops import CROPS
from edgereid.models.hacnn import (
    CROP_SIZES,
    HACNN,
    HarmoniousAttention,
    SpatialAttention,
    inception_a,
    inception_b,
)
from edgereid.models.registry import build
from edgereid.profile import Profile, profile

#: What torchreid 0.2.5 gives for ``HACNN(751)``: SHA-256 of its names and shapes, and the feature
#: of ``images(2)`` in float64 with the float32 tensors of ``fill``; its regions sampled at the
#: printed sizes at once.
NAMES = "35076149361ed51e8dff999a30bde77a44879f418f27c818a4fb01d8417c2de6"
SUMS = (14.0854321474, 14.1687469527)  # of the halves, first image
VALUES = {
    (0, 1): 0.077289241957,
    (0, 510): 0.062475344306,
    (0, 513): 0.045781871525,
    (1, 700): 0.061453720697,
    (1, 1023): 0.034395983008,
}
WIDTHS = (32, 128, 256, 384)
LEVELS = list(enumerate(pairwise(WIDTHS), start=1))


def conv(i: int, o: int, kernel: int) -> int:
    """Parameters of a convolution with bias and a batch norm."""
    return i * o * kernel**2 + o + 2 * o


def parameters_a(i: int, o: int) -> int:
    m = o // 4
    return 4 * conv(i, m, 1) + 3 * conv(m, m, 3)


def parameters_b(i: int, o: int) -> int:
    m = o // 4
    return 2 * conv(i, m, 1) + 3 * conv(m, m, 3) + conv(i, 2 * m, 1)


def parameters_ha(c: int) -> int:
    soft = conv(1, 1, 3) + conv(1, 1, 1) + conv(c, c // 16, 1) + conv(c // 16, c, 1) + conv(c, c, 1)
    return soft + 8 * c + 8


def macs_a(i: int, o: int, h: int, w: int) -> int:
    m = o // 4
    return (4 * i * m + 3 * 9 * m * m) * h * w


def macs_b(i: int, o: int, h: int, w: int) -> int:
    m, quarter = o // 4, math.ceil(h / 2) * math.ceil(w / 2)
    return (2 * i * m + 9 * m * m) * h * w + (2 * 9 * m * m + 2 * i * m) * quarter


def macs_ha(c: int, h: int, w: int) -> int:
    return (
        9 * math.ceil(h / 2) * math.ceil(w / 2) + h * w + 2 * c * (c // 16) + c * c * h * w + 8 * c
    )


@pytest.fixture(scope="module")
def counted() -> Profile:
    return profile("hacnn")


@pytest.mark.parametrize(("level", "widths"), LEVELS)
def test_every_level_has_the_counts_of_a_closed_form(
    counted: Profile, level: int, widths: tuple[int, int]
) -> None:
    i, o = widths
    h, w = 160 >> level, 64 >> level  # of the level's input
    found = {s.name: (s.output, s.parameters, s.macs) for s in counted.stages}
    assert found[f"inception{level}"] == (
        (o, h // 2, w // 2),
        parameters_a(i, o) + parameters_b(o, o),
        macs_a(i, o, h, w) + macs_b(o, o, h, w),
    )
    assert found[f"ha{level}"] == (
        (o, h // 2, w // 2),
        parameters_ha(o),
        macs_ha(o, h // 2, w // 2),
    )
    a, b = CROP_SIZES[level - 1]
    assert found[f"local_conv{level}"] == (
        (o, math.ceil(a / 2), math.ceil(b / 2)),
        parameters_b(i, o),
        4 * macs_b(i, o, a, b),
    )


def test_names_and_shapes_are_those_of_torchreid_so_that_its_weights_load() -> None:
    found = sorted((k, tuple(v.shape)) for k, v in HACNN(751).state_dict().items())
    listing = "\n".join(f"{name} {shape}" for name, shape in found)
    assert hashlib.sha256(listing.encode()).hexdigest() == NAMES


def fill(network: nn.Module) -> None:
    """Every tensor from its place in the sorted list of names."""
    scales = ("bn.weight", "fc_global.1.weight", "fc_local.1.weight")
    with torch.no_grad():
        for n, (name, tensor) in enumerate(sorted(network.state_dict().items())):
            steps = torch.arange(tensor.numel(), dtype=torch.float64)
            wave = torch.sin(0.37 * steps + n).view(tensor.shape)
            if name.endswith("running_var"):
                tensor.copy_(1 + 0.5 * wave)
            elif name.endswith(scales):
                tensor.copy_(1 + 0.2 * wave)
            elif "hard_attn.fc.weight" in name:
                tensor.copy_(0.05 * wave)
            elif tensor.dim() > 1:
                tensor.copy_(wave * math.sqrt(8 / tensor[0].numel()))
            elif tensor.is_floating_point():
                tensor.copy_(0.2 * wave)


def images(count: int, height: int = 160, width: int = 64) -> Tensor:
    steps = torch.arange(count * 3 * height * width, dtype=torch.float64)
    return torch.cos(0.21 * steps).view(count, 3, height, width)


def test_the_feature_is_that_of_torchreid() -> None:
    network = HACNN(751).eval()
    fill(network)
    with torch.inference_mode():
        feature = network.double()(images(2))
    assert [float(half.sum()) for half in feature[0].split(512)] == pytest.approx(SUMS, abs=1e-9)
    for place, value in VALUES.items():
        assert float(feature[place]) == pytest.approx(value, abs=1e-9)


def test_inception_units_are_their_streams_side_by_side() -> None:
    x = torch.randn(2, 32, 9, 6)
    unit = inception_a(32, 64).eval()
    assert unit(x).shape == (2, 64, 9, 6)
    pooled = nn.functional.avg_pool2d(x, 3, 1, 1)  # zeros count
    torch.testing.assert_close(unit(x)[:, 48:], unit.get_submodule("stream4.1")(pooled))
    unit = inception_b(32, 64).eval()
    assert unit(x).shape == (2, 64, 5, 3)
    pooled = nn.functional.max_pool2d(x, 3, 2, 1)
    torch.testing.assert_close(unit(x)[:, 32:], unit.get_submodule("stream3.1")(pooled))


def test_soft_attention_is_between_a_half_and_one_and_hard_attention_starts_as_stripes() -> None:
    network = build("hacnn").eval()
    module = network.get_submodule("ha1")
    assert isinstance(module, HarmoniousAttention)
    soft, theta = module(torch.randn(3, 128, 8, 4))
    assert soft.shape == (3, 128, 8, 4)
    assert soft.min() >= 0.5
    assert soft.max() < 1
    want = torch.tensor([[0, -0.75], [0, -0.25], [0, 0.25], [0, 0.75]])
    torch.testing.assert_close(theta, want.expand(3, 4, 2), rtol=0, atol=1e-6)


def test_spatial_attention_fits_maps_of_odd_size() -> None:
    assert SpatialAttention().eval()(torch.randn(2, 8, 5, 3)).shape == (2, 1, 5, 3)


def test_the_second_half_of_the_feature_is_made_of_the_crops_alone() -> None:
    network = HACNN().double().eval()
    fill(network)
    x = images(2, 80, 32)
    with torch.inference_mode():
        before = network(x)
        network.fc_local[0].weight.zero_()
        after = network(x)
    torch.testing.assert_close(after[:, :512], before[:, :512], rtol=0, atol=0)
    assert float((after - before)[:, 512:].abs().max()) > 1e-3
    norms = before.view(2, 2, 512).norm(dim=2)  # each half has length 1
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_every_crop_gives_the_same_feature() -> None:
    network = HACNN().double().eval()
    fill(network)
    x, found = images(2, 80, 32), []
    with torch.inference_mode():
        for network.crop in CROPS:
            found.append(network(x))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-12)


def test_training_sees_both_features_as_they_come_and_a_classifier_for_each() -> None:
    torch.manual_seed(0)
    network = HACNN(num_ids=7).train()
    out = network.forward_train(torch.randn(3, 3, 80, 32))
    assert [f.shape for f in out.features] == [(3, 512)] * 2
    assert [x.shape for x in out.logits] == [(3, 7)] * 2
    assert all(float(f.detach().norm(dim=1).min()) > 1.5 for f in out.features)  # not of length 1


def test_training_without_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="num_ids"):
        HACNN().forward_train(torch.randn(2, 3, 80, 32))
