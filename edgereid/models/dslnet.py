"""DSLNet (Wang et al., "Dense-Scale Feature Learning in Person Re-Identification", ACCV 2020): a
light network whose blocks sum densely over six short layers and select, channel by channel, among
three receptive fields.

Where the paper leaves a choice open (which layers are tapped, order of pointwise and depthwise,
reduction of the selection), the choice is the one that reproduces the published 1.9 M parameters
and 825.0 M multiply-adds: see ``docs/networks.md``. Equation and table numbers are the paper's.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgereid.models.layers import CB, CBR, Embedding, global_average_pool, init_weights
from edgereid.models.registry import InputSpec, Network, Published, TrainOutput, register

LAYERS = 6  # H_1..H_6 of a dense group; 5 or 7 miss the published counts
TAPS = (2, 4, 6)  # streams of the fusion: receptive fields 5, 9, 13
REDUCTION = 16  # of the fusion's two-layer gate


class DenseLayer(nn.Sequential):
    """H_k of eq. 1: pointwise, depthwise 3x3, batch norm, ReLU: (B, m, H, W) -> (B, m, H, W)."""

    def __init__(self, m: int) -> None:
        super().__init__(
            nn.Conv2d(m, m, 1, bias=False),
            nn.Conv2d(m, m, 3, padding=1, groups=m, bias=False),
            nn.BatchNorm2d(m),
            nn.ReLU(inplace=True),
        )


class ScaleSelection(nn.Module):
    """CSS: channel-wise soft selection among N streams (eqs. 2 to 5).

    The pooled sum of the streams is split into N groups; group n gives the logits of stream n for
    every channel; a softmax over the streams weighs them. The N small networks are written as two
    grouped 1x1 convolutions, which is the same arithmetic in two operators.
    """

    def __init__(self, m: int, streams: int = len(TAPS), reduction: int = REDUCTION) -> None:
        super().__init__()
        if m % streams:
            raise ValueError(f"{m} channels do not split into {streams} streams")
        hidden = max(1, m // reduction)
        self.streams = streams
        self.fc1 = nn.Conv2d(m, streams * hidden, 1, groups=streams)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(streams * hidden, streams * m, 1, groups=streams)

    def forward(self, streams: list[Tensor]) -> Tensor:
        total = streams[0]
        for s in streams[1:]:
            total = total + s
        m = total.shape[1]
        v = total.mean((2, 3), keepdim=True)  # (B, m, 1, 1)
        logits = self.fc2(self.relu(self.fc1(v)))  # (B, N*m, 1, 1)
        omega = logits.view(-1, self.streams, m, 1, 1).softmax(dim=1)  # over the streams
        out: Tensor = omega[:, 0] * streams[0]
        for n in range(1, self.streams):
            out = out + omega[:, n] * streams[n]
        return out  # (B, m, H, W)


class Sum(nn.Module):
    """Ablation: the sum of the streams."""

    def __init__(self, m: int) -> None:
        super().__init__()

    def forward(self, streams: list[Tensor]) -> Tensor:
        total = streams[0]
        for s in streams[1:]:
            total = total + s
        return total


class Gate(nn.Module):
    """Squeeze-and-excitation weights of a map, channel by channel: (B, m, H, W) -> the same."""

    def __init__(self, m: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(m, m // REDUCTION, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(m // REDUCTION, m, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.fc2(self.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return out


class GatedSum(Sum):
    """Ablation "SE": one gate on the sum of the streams."""

    def __init__(self, m: int) -> None:
        super().__init__(m)
        self.gate = Gate(m)

    def forward(self, streams: list[Tensor]) -> Tensor:
        out: Tensor = self.gate(super().forward(streams))
        return out


class SumOfGated(GatedSum):
    """Ablation "shared gate": OSNet's, one gate used on every stream before the sum."""

    def forward(self, streams: list[Tensor]) -> Tensor:
        return Sum.forward(self, [self.gate(s) for s in streams])


FUSIONS: dict[str, type[nn.Module]] = {
    "css": ScaleSelection,
    "sum": Sum,
    "se": GatedSum,
    "shared": SumOfGated,
}


class DSL(nn.Module):
    """DSL block: reduce, dense connection group, fusion of the streams, expand, residual:
    (B, i, H, W) -> (B, o, H, W). Without ``dense`` each layer takes the one before alone."""

    def __init__(self, i: int, o: int, dense: bool = True, fusion: str = "css") -> None:
        super().__init__()
        m = o // 4
        self.reduce = CBR(i, m, 1)
        self.dense = nn.ModuleList(DenseLayer(m) for _ in range(LAYERS))
        self.sums = dense
        self.select = FUSIONS[fusion](m)
        self.expand = CB(m, o, 1)
        self.shortcut: nn.Module = nn.Identity() if i == o else CB(i, o, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x0 = self.reduce(x)
        running, taps = x0, []
        for k, layer in enumerate(self.dense, start=1):
            y = layer(running)
            if k in TAPS:
                taps.append(y)
            if k < LAYERS:
                running = running + y if self.sums else y
        out: Tensor = self.relu(self.expand(self.select(taps)) + self.shortcut(x))
        return out


class DSLNet(Network):
    """(B, 3, 256, 128) -> (B, 512) feature; in training also identity logits.

    The auxiliary head (after the second stage, training only) and the classifier exist only when
    ``num_ids`` is given, so that an exported network cannot contain them.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (60, 252, 384, 516),
        feature_size: int = 512,
        num_ids: int | None = None,
        aux_head: bool = True,
        dense: bool = True,
        fusion: str = "css",
    ) -> None:
        super().__init__(feature_size=feature_size)
        c0, c1, c2, c3 = widths

        def stage(i: int, o: int) -> nn.Module:
            return nn.Sequential(DSL(i, o, dense, fusion), DSL(o, o, dense, fusion))

        self.stem = nn.Sequential(CBR(3, c0, 7, 2, 3), nn.MaxPool2d(3, 2, 1))
        self.s1 = stage(c0, c1)
        self.t1 = nn.Sequential(CBR(c1, c1, 1), nn.AvgPool2d(2, 2))
        self.s2 = stage(c1, c2)
        self.t2 = nn.Sequential(CBR(c2, c2, 1), nn.AvgPool2d(2, 2))
        self.s3 = stage(c2, c3)
        self.t3 = CBR(c3, c3, 1)
        self.fc = Embedding(c3, feature_size)
        self.classifier: nn.Module | None = None
        self.aux: nn.Module | None = None
        if num_ids is not None:
            self.classifier = nn.Linear(feature_size, num_ids)
            if aux_head:
                self.aux = nn.Sequential(
                    Embedding(c2, feature_size), nn.Linear(feature_size, num_ids)
                )
        init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Feature (B, 512) of images (B, 3, H, W), whatever the mode."""
        middle = self.t2(self.s2(self.t1(self.s1(self.stem(x)))))
        out: Tensor = self.fc(global_average_pool(self.t3(self.s3(middle))))
        return out

    def forward_train(self, x: Tensor) -> TrainOutput:
        """Feature, identity logits and the auxiliary head's logits."""
        if self.classifier is None:
            raise ValueError("this DSLNet was built without num_ids: it has no heads to train")
        middle = self.t2(self.s2(self.t1(self.s1(self.stem(x)))))
        feature = self.fc(global_average_pool(self.t3(self.s3(middle))))
        aux = () if self.aux is None else (self.aux(global_average_pool(middle)),)
        return TrainOutput(features=(feature,), logits=(self.classifier(feature),), aux_logits=aux)


_INPUT = InputSpec(256, 128)
_PAPER = "Wang et al., ACCV 2020"
PUBLISHED = Published(
    parameters=1.9e6,
    macs=825.0e6,
    source="DSLNet, Table 1 (output sizes, and both totals; it prints no count per stage)",
    outputs={
        "stem": (64, 32),
        "s1": (64, 32),
        "t1": (32, 16),
        "s2": (32, 16),
        "t2": (16, 8),
        "s3": (16, 8),
        "t3": (16, 8),
        "fc": (512,),
    },
)


@register("dslnet", _INPUT, _PAPER, PUBLISHED)
def dslnet(num_ids: int | None = None) -> Network:
    """DSLNet as published: 1,919,838 parameters, 824,986,152 multiply-adds."""
    return DSLNet(num_ids=num_ids)


@register("dslnet_no_dense", _INPUT, _PAPER)
def dslnet_no_dense(num_ids: int | None = None) -> Network:
    """Ablation: a chain of layers without dense sums."""
    return DSLNet(num_ids=num_ids, dense=False)


@register("dslnet_no_css", _INPUT, _PAPER)
def dslnet_no_css(num_ids: int | None = None) -> Network:
    """Ablation: the streams are summed."""
    return DSLNet(num_ids=num_ids, fusion="sum")


@register("dslnet_se", _INPUT, _PAPER)
def dslnet_se(num_ids: int | None = None) -> Network:
    """Ablation: a squeeze-and-excitation gate on the sum."""
    return DSLNet(num_ids=num_ids, fusion="se")


@register("dslnet_shared_gate", _INPUT, _PAPER)
def dslnet_shared_gate(num_ids: int | None = None) -> Network:
    """Ablation: one gate shared by the streams."""
    return DSLNet(num_ids=num_ids, fusion="shared")
