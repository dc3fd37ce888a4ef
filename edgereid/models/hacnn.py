"""HA-CNN (Li et al., "Harmonious Attention Network for Person Re-Identification", CVPR 2018), the
baseline of two of the papers: Inception units, soft attention on the whole image, hard attention
that crops four regions for a local branch.

The paper leaves its units' inside open; they are those of the public definition (torchreid), and
so are the names of layers, so that its weights load. Its convolutions have biases.
"""

from __future__ import annotations

from collections import OrderedDict
from math import atanh

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgereid.models.crops import CROPS, REGIONS
from edgereid.models.layers import Embedding, global_average_pool, init_weights
from edgereid.models.registry import InputSpec, Network, Published, TrainOutput, register

STEM = 32
WIDTHS = (128, 256, 384)  # of levels 1 to 3
CROP_SIZES = ((24, 28), (12, 14), (6, 7))  # (height, width) of levels 1 to 3
EMBEDDING = 512  # of each branch
REDUCTION = 16


class ConvBlock(nn.Sequential):
    """Convolution (with bias), batch norm and ReLU: (B, i, H, W) -> (B, o, H / s, W / s)."""

    def __init__(self, i: int, o: int, kernel: int, stride: int = 1) -> None:
        conv = nn.Conv2d(i, o, kernel, stride, kernel // 2)
        relu = nn.ReLU(inplace=True)
        super().__init__(OrderedDict(conv=conv, bn=nn.BatchNorm2d(o), relu=relu))


class Inception(nn.Module):
    """Streams side by side, their outputs one after the other: (B, i, H, W) -> (B, o, H', W')."""

    def __init__(self, *streams: nn.Module) -> None:
        super().__init__()
        for n, stream in enumerate(streams, start=1):
            self.add_module(f"stream{n}", stream)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([stream(x) for stream in self.children()], 1)


def inception_a(i: int, o: int) -> Inception:
    """Three streams of 1x1 and 3x3, one that pools; all of a quarter of the width."""
    m = o // 4
    threes = (nn.Sequential(ConvBlock(i, m, 1), ConvBlock(m, m, 3)) for _ in range(3))
    return Inception(*threes, nn.Sequential(nn.AvgPool2d(3, 1, 1), ConvBlock(i, m, 1)))


def inception_b(i: int, o: int) -> Inception:
    """Halves height and width: 1x1 and one or two 3x3 of a quarter of the width, pooling of half
    of it."""
    m = o // 4
    return Inception(
        nn.Sequential(ConvBlock(i, m, 1), ConvBlock(m, m, 3, 2)),
        nn.Sequential(ConvBlock(i, m, 1), ConvBlock(m, m, 3), ConvBlock(m, m, 3, 2)),
        nn.Sequential(nn.MaxPool2d(3, 2, 1), ConvBlock(i, 2 * m, 1)),
    )


class SpatialAttention(nn.Module):
    """Section 3.1.I.1: (B, C, H, W) -> (B, 1, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = ConvBlock(1, 1, 3, 2), ConvBlock(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        half = self.conv1(x.mean(1, keepdim=True))
        whole = functional.interpolate(half, size=x.shape[2:], mode="bilinear", align_corners=True)
        out: Tensor = self.conv2(whole)
        return out


class ChannelAttention(nn.Module):
    """Section 3.1.I.2: (B, C, H, W) -> (B, C, 1, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // REDUCTION
        self.conv1, self.conv2 = ConvBlock(channels, inner, 1), ConvBlock(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x.mean((2, 3), keepdim=True)))
        return out


class SoftAttention(nn.Module):
    """Section 3.1.I: weights (B, C, H, W) in 0.5..1, the ReLU standing before the sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial_attn, self.channel_attn = SpatialAttention(), ChannelAttention(channels)
        self.conv = ConvBlock(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.spatial_attn(x) * self.channel_attn(x)).sigmoid()
        return out


class HardAttention(nn.Module):
    """Section 3.1.II: centres (B, 4, 2) of the regions as (t_x, t_y) in -1..1; their size is
    fixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, 2 * REGIONS)

    def start_as_stripes(self) -> None:
        """Centres that tile the image in four stripes, whatever the image."""
        nn.init.zeros_(self.fc.weight)
        middles = [(2 * region + 1) / REGIONS - 1 for region in range(REGIONS)]
        with torch.no_grad():
            self.fc.bias.copy_(torch.tensor([v for y in middles for v in (0.0, atanh(y))]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(global_average_pool(x)).tanh()
        return out.view(-1, REGIONS, 2)


class HarmoniousAttention(nn.Module):
    """Soft attention (B, C, H, W) and the centres (B, 4, 2) of the hard one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.soft_attn, self.hard_attn = SoftAttention(channels), HardAttention(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.soft_attn(x), self.hard_attn(x)


class HACNN(Network):
    """(B, 3, 160, 64) -> (B, 1024): global and local feature, each of length 1.

    ``crop``: a name in ``CROPS``; both give the same, so that it may be changed on a trained
    network before it is exported.
    """

    def __init__(self, num_ids: int | None = None, crop: str = "grid_sample") -> None:
        super().__init__(feature_size=2 * EMBEDDING)
        self.crop = crop
        self.conv = ConvBlock(3, STEM, 3, 2)
        channels = (STEM, *WIDTHS)
        for k, (i, o) in enumerate(zip(channels, WIDTHS, strict=False), start=1):
            self.add_module(f"inception{k}", nn.Sequential(inception_a(i, o), inception_b(o, o)))
            self.add_module(f"ha{k}", HarmoniousAttention(o))
            self.add_module(f"local_conv{k}", inception_b(i, o))
        self.fc_global = Embedding(WIDTHS[-1], EMBEDDING)
        self.fc_local = Embedding(REGIONS * WIDTHS[-1], EMBEDDING)
        self.classifier_global = None if num_ids is None else nn.Linear(EMBEDDING, num_ids)
        self.classifier_local = None if num_ids is None else nn.Linear(EMBEDDING, num_ids)
        init_weights(self)
        for module in self.modules():
            if isinstance(module, HardAttention):
                module.start_as_stripes()

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The global and the local feature, (B, 512) each, not normalised."""
        seen = x = self.conv(x)  # what the next level is cropped from
        local: Tensor | None = None
        for k, size in enumerate(CROP_SIZES, start=1):
            y = self.get_submodule(f"inception{k}")(x)
            attention, theta = self.get_submodule(f"ha{k}")(y)
            x = y * attention
            regions = CROPS[self.crop](seen, theta, size)
            if local is not None:  # what the hard attention adds to (section 3.2)
                regions = regions + local
            local = self.get_submodule(f"local_conv{k}")(regions)
            seen = x
        assert local is not None
        pooled = global_average_pool(local).view(-1, REGIONS * WIDTHS[-1])
        return self.fc_global(global_average_pool(x)), self.fc_local(pooled)

    def forward(self, x: Tensor) -> Tensor:
        """Feature (B, 1024) of images (B, 3, H, W)."""
        return torch.cat([functional.normalize(part, dim=1) for part in self.pair(x)], 1)

    def forward_train(self, x: Tensor) -> TrainOutput:
        """Both features, not normalised, and the logits of each."""
        if self.classifier_global is None or self.classifier_local is None:
            raise ValueError("this HA-CNN was built without num_ids: it has no heads to train")
        whole, local = self.pair(x)
        return TrainOutput(
            (whole, local), (self.classifier_global(whole), self.classifier_local(local))
        )


_DEVIATION = (
    "the public definition has the printed 1.09 G at two operations a multiply-add, but not the "
    "printed 2.7 M parameters"
)
_PUBLISHED = Published(2.7e6, 1.09e9 / 2, "HA-CNN, as DSLNet's Table 2 has it", {}, _DEVIATION)


@register("hacnn", InputSpec(160, 64), "Li et al., CVPR 2018", _PUBLISHED)
def hacnn(num_ids: int | None = None) -> Network:
    """HA-CNN: 2,929,112 parameters, 543,994,538 multiply-adds."""
    return HACNN(num_ids)
