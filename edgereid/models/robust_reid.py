"""Robust-ReID ("Towards Robust and Lightweight Person Re-Identification", arXiv 1910.07038): a
harmonious-attention network of ShuffleNetV2 units, with four cropped regions that share weights.

Table 1 is built literally; where it contradicts itself, and why 2x misses the printed 6.4 M
parameters, is in ``docs/networks.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgereid.models.crops import CROPS, REGIONS
from edgereid.models.layers import CB, CBR, Embedding, init_weights
from edgereid.models.registry import InputSpec, Network, Published, TrainOutput, register

CROP_SIZES = ((24, 28), (12, 14), (6, 7))  # (height, width) of levels 1 to 3
_CENTRES_Y = (-0.75, -0.25, 0.25, 0.75)


def shuffle(a: Tensor, b: Tensor) -> Tensor:
    """Concatenation and channel shuffle of two groups: two (B, C, H, W) -> (B, 2 C, H, W), with the
    channels in turns. Were they concatenated first and cut again, as in ShuffleNetV2's own code,
    OpenVINO would do the cuts in its reference code (the network 1.7 times slower)."""
    return torch.stack([a, b], 2).flatten(1, 2)


class UnitA(nn.Module):
    """ShuffleNetV2's basic unit: half of the channels pass, half go through 1x1, 3x3, 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.passing = h = channels // 2
        self.right = nn.Sequential(CBR(h, h, 1), CB(h, h, 3, 1, 1, groups=h), CBR(h, h, 1))

    def forward(self, x: Tensor) -> Tensor:
        left, right = x[:, : self.passing], x[:, self.passing :]
        return shuffle(left, self.right(right))


class UnitB(nn.Module):
    """ShuffleNetV2's unit that changes width or size: (B, i, H, W) -> (B, o, H / s, W / s)."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        h = o // 2
        self.left = nn.Sequential(CB(i, i, 3, stride, 1, groups=i), CBR(i, h, 1))
        self.right = nn.Sequential(CBR(i, h, 1), CB(h, h, 3, stride, 1, groups=h), CBR(h, h, 1))

    def forward(self, x: Tensor) -> Tensor:
        return shuffle(self.left(x), self.right(x))


def _start_calm(unit: nn.Module) -> None:
    """Norms that start at a mean of 1, where most values pass the ReLU. From a mean of 0 the thirty
    units in a row, with no sum around them, are chaotic: noise of 0.3 of 255 levels moves stage 3
    by 1.3 times its spread over images, and the trunk hardly trains (from 1: by 0.2)."""
    for module in unit.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.bias)


class HarmoniousAttention(nn.Module):
    """Soft attention M (B, C, H, W) in 0.5..1 and centres theta (B, 4, 2) of the hard one, as
    (t_x, t_y) in -1..1 (Li et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 16
        self.spatial_down, self.spatial_up = CBR(1, 1, 3, 2, 1), CBR(1, 1, 1)
        self.channel = nn.Sequential(CBR(channels, inner, 1), CBR(inner, channels, 1))
        self.joint = CBR(channels, channels, 1)
        self.hard = nn.Linear(channels, 2 * REGIONS)

    def start_as_stripes(self) -> None:
        """Centres that tile the image in four stripes, whatever the image."""
        nn.init.zeros_(self.hard.weight)
        centres = [value for y in _CENTRES_Y for value in (0.0, atanh(y))]
        with torch.no_grad():
            self.hard.bias.copy_(torch.tensor(centres))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        spatial = self.spatial_down(x.mean(1, keepdim=True))
        spatial = functional.interpolate(
            spatial, size=x.shape[2:], mode="bilinear", align_corners=True
        )
        pooled = x.mean((2, 3), keepdim=True)
        attention = self.joint(self.spatial_up(spatial) * self.channel(pooled)).sigmoid()
        theta = self.hard(pooled.flatten(1)).tanh().view(-1, REGIONS, 2)
        return attention, theta


class GeM(nn.Module):
    """Generalised mean (eq. 6) with one learned power: (B, C, H, W) -> (B, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x.clamp_min(1e-6).pow(self.p).mean((2, 3)).pow(1.0 / self.p)
        return out


class AveragePool(nn.Module):
    """(B, C, H, W) -> (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class MaxPool(nn.Module):
    """(B, C, H, W) -> (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


POOLINGS = {"gem": GeM, "average": AveragePool, "max": MaxPool}


@dataclass(frozen=True, slots=True)
class Widths:
    """Table 1: channels of the stem and the stages, A units a stage, half of the feature."""

    stem: int
    stages: tuple[int, int, int]
    units: tuple[int, int, int]
    embedding: int


ONE = Widths(32, (128, 256, 384), (7, 10, 7), 512)
TWO = Widths(36, (240, 320, 480), (8, 11, 8), 960)


class RobustReID(Network):
    """(B, 3, 160, 64) -> (B, 2 * F): global and local feature, each of length 1 with ``l2``.

    ``crop``: a name in ``CROPS``; both give the same, so that it may be changed on a trained
    network before it is exported. ``pooling``: a name in ``POOLINGS``.
    """

    def __init__(
        self,
        widths: Widths,
        num_ids: int | None = None,
        pooling: str = "gem",
        l2: bool = True,
        crop: str = "grid_sample",
    ) -> None:
        super().__init__(feature_size=2 * widths.embedding)
        self.crop, self.l2 = crop, l2
        channels = (widths.stem, *widths.stages)
        self.conv1 = CBR(3, widths.stem, 3, 2, 1)
        for k, units in enumerate(widths.units, start=1):
            i, o = channels[k - 1], channels[k]
            middle = [UnitA(o) for _ in range(units)]
            self.add_module(f"stage{k}", nn.Sequential(UnitB(i, o, 1), *middle, UnitB(o, o, 2)))
            self.add_module(f"attention{k}", HarmoniousAttention(o))
            self.add_module(f"local{k}", UnitB(i, o, 2))
        last = channels[-1]
        self.pool_global, self.pool_local = POOLINGS[pooling](), POOLINGS[pooling]()
        self.fc_global = Embedding(last, widths.embedding)
        self.fc_local = Embedding(REGIONS * last, widths.embedding)
        self.classifiers: nn.ModuleList | None = None
        if num_ids is not None:
            heads = (nn.Linear(widths.embedding, num_ids, bias=False) for _ in range(2))
            self.classifiers = nn.ModuleList(heads)
        init_weights(self)
        for module in self.modules():
            if isinstance(module, HarmoniousAttention):
                module.start_as_stripes()
            elif isinstance(module, UnitA | UnitB):
                _start_calm(module)

    def pair(self, x: Tensor, crop: str) -> tuple[Tensor, Tensor]:
        """The global and the local feature, (B, F) each."""
        seen = x = self.conv1(x)  # what the next level is cropped from
        local: Tensor | None = None
        for k, size in enumerate(CROP_SIZES, start=1):
            y = self.get_submodule(f"stage{k}")(x)
            attention, theta = self.get_submodule(f"attention{k}")(y)
            x = y * attention
            regions = CROPS[crop](seen, theta, size)
            if local is not None:
                regions = regions + local
            local = self.get_submodule(f"local{k}")(regions)
            seen = x
        pooled = self.pool_local(local).unflatten(0, (-1, REGIONS)).flatten(1)
        g, part = self.fc_global(self.pool_global(x)), self.fc_local(pooled)
        if self.l2:
            return functional.normalize(g, dim=1), functional.normalize(part, dim=1)
        return g, part

    def forward(self, x: Tensor) -> Tensor:
        """Feature (B, 2 * F) of images (B, 3, H, W)."""
        return torch.cat(self.pair(x, self.crop), 1)

    def forward_train(self, x: Tensor) -> TrainOutput:
        """Both features and the logits of each."""
        if self.classifiers is None:
            raise ValueError("this network was built without num_ids: it has no heads to train")
        pair = self.pair(x, "matmul")  # whose gradient is the cheaper one on a CPU
        heads = zip(self.classifiers, pair, strict=True)
        return TrainOutput(pair, tuple(head(feature) for head, feature in heads))


_INPUT = InputSpec(160, 64)
_PAPER = "Robust-ReID, arXiv 1910.07038"
_COUNTER = (
    "the paper's count includes biases, batch norm and ReLU (716.7 M and 1,680.6 M by that "
    "counter); its 6.4 M parameters at 2x do not follow from its Table 1"
)


@register("robust_reid_1x", _INPUT, _PAPER, Published(2.9e6, 0.72e9, "Table 1", {}, _COUNTER))
def robust_reid_1x(num_ids: int | None = None) -> Network:
    """1x: 2,910,596 parameters, 682,665,130 multiply-adds."""
    return RobustReID(ONE, num_ids)


@register("robust_reid_2x", _INPUT, _PAPER, Published(6.4e6, 1.68e9, "Table 1", {}, _COUNTER))
def robust_reid_2x(num_ids: int | None = None) -> Network:
    """2x: 5,759,834 parameters, 1,621,772,618 multiply-adds."""
    return RobustReID(TWO, num_ids)


@register("robust_reid_1x_average", _INPUT, _PAPER)
def robust_reid_1x_average(num_ids: int | None = None) -> Network:
    """Ablation: average pooling."""
    return RobustReID(ONE, num_ids, pooling="average")


@register("robust_reid_1x_max", _INPUT, _PAPER)
def robust_reid_1x_max(num_ids: int | None = None) -> Network:
    """Ablation: maximum pooling."""
    return RobustReID(ONE, num_ids, pooling="max")


@register("robust_reid_1x_no_l2", _INPUT, _PAPER)
def robust_reid_1x_no_l2(num_ids: int | None = None) -> Network:
    """Ablation: features as they come."""
    return RobustReID(ONE, num_ids, l2=False)
