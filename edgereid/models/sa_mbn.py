"""SA-MBN (Munir and Micheloni, "Self Attention based multi branch Network for Person
Re-Identification"): a ResNet-50 with one self-attention block, global maximum pooling, and several
classifiers that share the feature.

Where the paper is silent (biases, dilation, which vector is compared): ``docs/networks.md``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgereid.models.registry import InputSpec, Network, Published, TrainOutput, register
from edgereid.models.resnet import backbone

REDUCTION = 8  # of the channels inside the attention
_WIDTHS = (256, 512, 1024, 2048)  # after stage 1 to 4


class SelfAttention(nn.Module):
    """Eqs. 2 to 4: every place gathers from all places: (B, C, H, W) -> the same.

    s_ij = f(x_i) . g(x_j); a softmax over i for each output place j; y = gamma * v(o) + x, with
    gamma 0 at the start, so that the block begins as the identity.
    """

    def __init__(self, channels: int, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or channels // REDUCTION
        self.f = nn.Conv2d(channels, inner, 1, bias=False)
        self.g = nn.Conv2d(channels, inner, 1, bias=False)
        self.h = nn.Conv2d(channels, inner, 1, bias=False)
        self.v = nn.Conv2d(inner, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        f, g, h = self.f(x).flatten(2), self.g(x).flatten(2), self.h(x).flatten(2)  # (B, c, N)
        weights = torch.matmul(g.transpose(1, 2), f).softmax(dim=-1)  # (B, N of j, N of i)
        gathered = torch.matmul(h, weights.transpose(1, 2))  # (B, c, N)
        out: Tensor = self.gamma * self.v(gathered.view(-1, self.v.in_channels, *x.shape[2:])) + x
        return out


class SAMBN(Network):
    """(B, 3, H, W) -> (B, 1024): the output of the reducing convolution, before its batch norm.

    ``attention_after``: the stage (1 to 4) behind which attention stands, None without;
    ``classifiers`` exist only with ``num_ids``.
    """

    def __init__(
        self,
        num_ids: int | None = None,
        attention_after: int | None = 3,
        classifiers: int = 4,
        feature_size: int = 1024,
    ) -> None:
        super().__init__(feature_size=feature_size)
        trunk = backbone(last_stride=1)
        self.conv1, self.bn1, self.relu = trunk.conv1, trunk.bn1, trunk.relu
        self.maxpool = trunk.maxpool
        self.layer1, self.layer2 = trunk.layer1, trunk.layer2
        self.layer3, self.layer4 = trunk.layer3, trunk.layer4
        self.attention_after = attention_after
        self.attention: nn.Module | None = None
        if attention_after is not None:
            self.attention = SelfAttention(_WIDTHS[attention_after - 1])
        self.reduce = nn.Conv2d(_WIDTHS[-1], feature_size, 1, bias=False)
        self.neck: nn.Module | None = None
        self.classifiers: nn.ModuleList | None = None
        if num_ids is not None:
            self.neck = nn.Sequential(
                nn.BatchNorm1d(feature_size), nn.ReLU(inplace=True), nn.Dropout(0.5)
            )
            self.classifiers = nn.ModuleList(
                nn.Linear(feature_size, num_ids) for _ in range(classifiers)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Feature (B, 1024) of images (B, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage, layer in enumerate((self.layer1, self.layer2, self.layer3, self.layer4), 1):
            x = layer(x)
            if self.attention is not None and stage == self.attention_after:
                x = self.attention(x)
        out: Tensor = self.reduce(x.amax((2, 3), keepdim=True)).flatten(1)
        return out

    def forward_train(self, x: Tensor) -> TrainOutput:
        """Feature, and the logits of every classifier from one shared dropout mask."""
        if self.neck is None or self.classifiers is None:
            raise ValueError("this SA-MBN was built without num_ids: it has no heads to train")
        feature = self.forward(x)
        shared = self.neck(feature)
        return TrainOutput((feature,), tuple(head(shared) for head in self.classifiers))


_INPUT = InputSpec(256, 128)
_PAPER = "Munir and Micheloni, self-attention multi-branch network"


@register("sa_mbn", _INPUT, _PAPER, Published(None, None, "the paper prints no counts"))
def sa_mbn(num_ids: int | None = None) -> Network:
    """Attention after stage 3, four classifiers: 26,129,473 parameters."""
    return SAMBN(num_ids)


@register("sa_mbn_stage1", _INPUT, _PAPER)
def sa_mbn_stage1(num_ids: int | None = None) -> Network:
    """Ablation: attention after stage 1."""
    return SAMBN(num_ids, attention_after=1)


@register("sa_mbn_stage2", _INPUT, _PAPER)
def sa_mbn_stage2(num_ids: int | None = None) -> Network:
    """Ablation: attention after stage 2."""
    return SAMBN(num_ids, attention_after=2)


@register("sa_mbn_stage4", _INPUT, _PAPER)
def sa_mbn_stage4(num_ids: int | None = None) -> Network:
    """Ablation: attention after stage 4."""
    return SAMBN(num_ids, attention_after=4)


@register("mbn", _INPUT, _PAPER)
def mbn(num_ids: int | None = None) -> Network:
    """Ablation: four classifiers, no attention."""
    return SAMBN(num_ids, attention_after=None)


@register("mbn_single", _INPUT, _PAPER)
def mbn_single(num_ids: int | None = None) -> Network:
    """Ablation: one classifier, no attention."""
    return SAMBN(num_ids, attention_after=None, classifiers=1)
