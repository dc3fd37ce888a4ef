"""OSNet (Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019), the
baseline of two of the papers. Names of layers are torchreid's, so that its weights load.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgereid.models.layers import global_average_pool, init_weights
from edgereid.models.registry import InputSpec, Network, Published, TrainOutput, register


class ConvLayer(nn.Module):
    """Convolution, batch norm, ReLU: (B, i, H, W) -> (B, o, H', W')."""

    def __init__(self, i: int, o: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(o)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class Conv1x1Linear(nn.Module):
    """1x1 convolution and batch norm: (B, i, H, W) -> (B, o, H, W)."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, 1, bias=False)
        self.bn = nn.BatchNorm2d(o)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out


class LightConv3x3(nn.Module):
    """Pointwise, depthwise 3x3, batch norm, ReLU: (B, m, H, W) -> (B, m, H, W)."""

    def __init__(self, m: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(m, m, 1, bias=False)
        self.conv2 = nn.Conv2d(m, m, 3, padding=1, groups=m, bias=False)
        self.bn = nn.BatchNorm2d(m)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn(self.conv2(self.conv1(x))))
        return out


class ChannelGate(nn.Module):
    """The aggregation gate, shared by the streams: (B, m, H, W) weighed channel by channel."""

    def __init__(self, m: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(m, m // reduction, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(m // reduction, m, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(self.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
        out: Tensor = x * gate
        return out


class OSBlock(nn.Module):
    """Four streams of one to four light convolutions: (B, i, H, W) -> (B, o, H, W)."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        m = o // 4
        self.conv1 = ConvLayer(i, m, 1)
        self.conv2a: nn.Module = LightConv3x3(m)
        self.conv2b = nn.Sequential(*(LightConv3x3(m) for _ in range(2)))
        self.conv2c = nn.Sequential(*(LightConv3x3(m) for _ in range(3)))
        self.conv2d = nn.Sequential(*(LightConv3x3(m) for _ in range(4)))
        self.gate = ChannelGate(m)
        self.conv3 = Conv1x1Linear(m, o)
        self.downsample = Conv1x1Linear(i, o) if i != o else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.conv1(x)
        streams = (self.conv2a, self.conv2b, self.conv2c, self.conv2d)
        total = self.gate(streams[0](x))
        for stream in streams[1:]:
            total = total + self.gate(stream(x))
        out: Tensor = self.relu(self.conv3(total) + shortcut)
        return out


class OSNet(Network):
    """(B, 3, 256, 128) -> (B, 512)."""

    def __init__(
        self, widths: tuple[int, int, int, int], num_ids: int | None = None, feature_size: int = 512
    ) -> None:
        super().__init__(feature_size=feature_size)
        c0, c1, c2, c3 = widths
        self.conv1 = ConvLayer(3, c0, 7, 2, 3)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.conv2 = nn.Sequential(OSBlock(c0, c1), OSBlock(c1, c1), _transition(c1))
        self.conv3 = nn.Sequential(OSBlock(c1, c2), OSBlock(c2, c2), _transition(c2))
        self.conv4 = nn.Sequential(OSBlock(c2, c3), OSBlock(c3, c3))
        self.conv5 = ConvLayer(c3, c3, 1)
        self.fc = nn.Sequential(
            nn.Linear(c3, feature_size), nn.BatchNorm1d(feature_size), nn.ReLU(inplace=True)
        )
        self.classifier = None if num_ids is None else nn.Linear(feature_size, num_ids)
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Feature (B, 512) of images (B, 3, H, W)."""
        x = self.conv4(self.conv3(self.conv2(self.maxpool(self.conv1(x)))))
        out: Tensor = self.fc(global_average_pool(self.conv5(x)))
        return out

    def forward_train(self, x: Tensor) -> TrainOutput:
        """Feature and identity logits."""
        if self.classifier is None:
            raise ValueError("this OSNet was built without num_ids: it has no head to train")
        feature = self.forward(x)
        return TrainOutput((feature,), (self.classifier(feature),))


def _transition(channels: int) -> nn.Module:
    return nn.Sequential(ConvLayer(channels, channels, 1), nn.AvgPool2d(2, 2))


_INPUT = InputSpec(256, 128)
_PAPER = "Zhou et al., ICCV 2019"


@register("osnet_x1_0", _INPUT, _PAPER, Published(2.2e6, 978.9e6, "OSNet, Table 8"))
def osnet_x1_0(num_ids: int | None = None) -> Network:
    """OSNet x1.0: 2,169,508 parameters, 978,875,392 multiply-adds."""
    return OSNet((64, 256, 384, 512), num_ids)


@register("osnet_x0_25", _INPUT, _PAPER, Published(0.2e6, 82.3e6, "OSNet, Table 8"))
def osnet_x0_25(num_ids: int | None = None) -> Network:
    """OSNet x0.25: 201,864 parameters, 82,314,880 multiply-adds."""
    return OSNet((16, 64, 96, 128), num_ids)
