"""Building blocks shared by the networks.

Names follow the papers: ``CBR`` is convolution, batch norm, ReLU; ``CB`` the same without ReLU.
Convolutions that feed a batch norm carry no bias.
"""

from __future__ import annotations

from torch import Tensor, nn


class CB(nn.Sequential):
    """Convolution (no bias) and batch norm: (B, i, H, W) -> (B, o, H', W')."""

    def __init__(
        self, i: int, o: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(i, o, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(o),
        )


class CBR(nn.Sequential):
    """Convolution (no bias), batch norm and ReLU: (B, i, H, W) -> (B, o, H', W')."""

    def __init__(
        self, i: int, o: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(i, o, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(o),
            nn.ReLU(inplace=True),
        )


class Embedding(nn.Sequential):
    """Linear, batch norm and ReLU on a pooled feature: (B, i) -> (B, o)."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__(nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU(inplace=True))


def global_average_pool(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C)."""
    return x.mean((2, 3))


def init_weights(module: nn.Module) -> None:
    """Kaiming normal (fan out) for convolutions, N(0, 0.01) for linear layers, 1/0 for norms."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0.0, 0.01)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
        elif isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(m.weight)
            nn.init.zeros_(m.bias)
