"""Split-attention ResNet-50 (ResNeSt: Zhang et al., 2020; for re-ID: Cao and Lee, "An
Improved Split-Attention Architecture Based on Circle Loss for Person Re-Identification"). Names of
layers are timm's, so that its weights load where the shapes fit.

Every convolution of stride 2 but the first is replaced by average pooling ("avd", "avg down").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgereid.models.layers import init_weights
from edgereid.models.registry import InputSpec, Network, Published, TrainOutput, register

_BLOCKS = (3, 4, 6, 3)
_EXPANSION = 4


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """``radix`` splits (R) within each of ``cardinality`` groups (K); ``base_width``: channels of a
    group at 64 planes; ``attn_divisor``: the attention's width is rounded to a multiple of it."""

    radix: int = 2
    cardinality: int = 1
    base_width: int = 64
    avd_first: bool = False
    last_stride: int = 2
    attn_divisor: int = 8


def _rounded(value: float, divisor: int, least: int = 32) -> int:
    """The nearest multiple of ``divisor``, at least ``least`` and at least 0.9 of ``value``."""
    nearest = max(least, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


class SplitAttention(nn.Module):
    """SplAt (eqs. 1 to 3): (B, w, H, W) -> (B, w, H, W), a softmax over R splits per channel.

    The convolution's output is radix-major (split, then group, then channel), the gate's is
    cardinal-major (group, then split, then channel) and is brought into order before the softmax.
    With R = 1 the gate is a sigmoid.
    """

    def __init__(self, width: int, options: SplitOptions, attention: int | None = None) -> None:
        super().__init__()
        r, k = options.radix, options.cardinality
        if width % (r * k):
            raise ValueError(f"width {width} does not divide by radix {r} x cardinality {k}")
        inner = attention or _rounded(width * r / 4, options.attn_divisor)
        self.radix, self.cardinality, self.width = r, k, width
        self.conv = nn.Conv2d(width, width * r, 3, padding=1, groups=r * k, bias=False)
        self.bn0 = nn.BatchNorm2d(width * r)
        self.act0 = nn.ReLU(inplace=True)
        self.fc1 = nn.Conv2d(width, inner, 1, groups=k)
        self.bn1 = nn.BatchNorm2d(inner)
        self.act1 = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(inner, width * r, 1, groups=k)

    def forward(self, x: Tensor) -> Tensor:
        splits = torch.split(self.act0(self.bn0(self.conv(x))), self.width, dim=1)  # R of (B, w)
        total = splits[0]
        for s in splits[1:]:
            total = total + s
        gate = self.fc2(self.act1(self.bn1(self.fc1(total.mean((2, 3), keepdim=True)))))
        weights = self.weigh(gate)
        out: Tensor = weights[0] * splits[0]
        for a, s in zip(weights[1:], splits[1:], strict=True):
            out = out + a * s
        return out

    def weigh(self, gate: Tensor) -> tuple[Tensor, ...]:
        """R weights (B, w, 1, 1) from the gate (B, R * w, 1, 1), cardinal-major."""
        if self.radix == 1:
            return (gate.sigmoid(),)
        size = self.width // self.cardinality
        ordered = gate.view(-1, self.cardinality, self.radix, size).transpose(1, 2)
        weights = ordered.softmax(dim=1).reshape(-1, self.radix * self.width, 1, 1)
        return torch.split(weights, self.width, dim=1)


class Block(nn.Module):
    """Bottleneck: 1x1, split attention, 1x1, shortcut: (B, i, H, W) -> (B, 4 * planes, ..)."""

    def __init__(self, i: int, planes: int, stride: int, options: SplitOptions) -> None:
        super().__init__()
        width = int(planes * options.base_width / 64) * options.cardinality
        out = planes * _EXPANSION
        pool = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else None
        self.conv1 = nn.Conv2d(i, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.avd_first = pool if options.avd_first else None
        self.conv2 = SplitAttention(width, options)
        self.avd_last = None if options.avd_first else pool
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.act3 = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride > 1 or i != out:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
                if stride > 1
                else nn.Identity(),
                nn.Conv2d(i, out, 1, bias=False),
                nn.BatchNorm2d(out),
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.act1(self.bn1(self.conv1(x)))
        if self.avd_first is not None:
            x = self.avd_first(x)
        x = self.conv2(x)
        if self.avd_last is not None:
            x = self.avd_last(x)
        out: Tensor = self.act3(self.bn3(self.conv3(x)) + shortcut)
        return out


class ResNeSt(Network):
    """(B, 3, H, W) -> (B, 2048): global average of the last map, for both losses and the test."""

    def __init__(self, num_ids: int | None = None, options: SplitOptions | None = None) -> None:
        super().__init__(feature_size=512 * _EXPANSION)
        options = options or SplitOptions()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, 1, 1, bias=False),
        )  # fmt: skip
        self.bn1, self.act1 = nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        i, strides = 64, (1, 2, 2, options.last_stride)
        for n, (count, stride) in enumerate(zip(_BLOCKS, strides, strict=True)):
            planes = 64 * 2**n
            blocks = [Block(i, planes, stride, options)]
            i = planes * _EXPANSION
            blocks += [Block(i, planes, 1, options) for _ in range(count - 1)]
            self.add_module(f"layer{n + 1}", nn.Sequential(*blocks))
        self.classifier = None if num_ids is None else nn.Linear(self.feature_size, num_ids)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Feature (B, 2048) of images (B, 3, H, W)."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        for n in range(1, 5):
            x = self.get_submodule(f"layer{n}")(x)
        return x.mean((2, 3))

    def forward_train(self, x: Tensor) -> TrainOutput:
        """The feature for circle loss, and identity logits from the same vector."""
        if self.classifier is None:
            raise ValueError("this ResNeSt was built without num_ids: it has no heads to train")
        feature = self.forward(x)
        return TrainOutput((feature,), (self.classifier(feature),))


_INPUT = InputSpec(384, 128)
_PAPER = "Cao and Lee, split attention and circle loss"
_WIDTH_NOTE = (
    "radix 3 with cardinality 2 needs widths that divide by 6, which the public widths do not; "
    "42 channels a group is the nearest above the public 40"
)


@register(
    "resnest50_k2r3",
    _INPUT,
    _PAPER,
    Published(None, None, "the paper prints no counts", deviation=_WIDTH_NOTE),
)
def resnest50_k2r3(num_ids: int | None = None) -> Network:
    """The paper's K = 2, R = 3: 28,201,956 parameters."""
    return ResNeSt(num_ids, SplitOptions(radix=3, cardinality=2, base_width=42))


@register("resnest50_k1r2", _INPUT, _PAPER, Published(None, None, "the paper prints no counts"))
def resnest50_k1r2(num_ids: int | None = None) -> Network:
    """ResNeSt-50 (2s1x64d), which has public ImageNet weights: 25,434,240 parameters."""
    return ResNeSt(num_ids)


@register("resnest50_k1r1", _INPUT, _PAPER)
def resnest50_k1r1(num_ids: int | None = None) -> Network:
    """Ablation: one split, whose gate is a sigmoid."""
    return ResNeSt(num_ids, SplitOptions(radix=1))


@register("resnest50_k2r2", _INPUT, _PAPER)
def resnest50_k2r2(num_ids: int | None = None) -> Network:
    """Ablation: two groups of two splits (2s2x40d)."""
    return ResNeSt(num_ids, SplitOptions(radix=2, cardinality=2, base_width=40))
