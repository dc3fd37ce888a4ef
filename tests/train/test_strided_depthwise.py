"""Strided depthwise convolutions compute in float32 under bf16 autocast, and nothing else does."""

import pytest
import torch
from torch import nn

from edgereid.models.registry import Network, TrainOutput
from edgereid.train.recipe import load, override
from edgereid.train.step import AUTOCAST, LossOfBatch
from edgereid.train.strided_depthwise import StridedDepthwiseInFloat


def _gradients(
    layer: nn.Conv2d, x: torch.Tensor, *, inside: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        if inside:
            with StridedDepthwiseInFloat():
                y = layer(x)
        else:
            y = layer(x)
    (y.float() ** 2).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    return y, x.grad, layer.weight.grad


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("stride", [2, (2, 1)])
def test_a_strided_depthwise_convolution_is_float32s_rounded_once(
    stride: int | tuple[int, int], bias: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, 3, stride, 1, groups=8, bias=bias)
    x = torch.randn(2, 8, 10, 6).bfloat16().float()
    y, _, in_float = _gradients(layer, x, inside=True)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, layer(x).bfloat16())
    exact = y.detach().float()  # the gradient of the square, by hand, in float64
    want = torch.autograd.grad(
        nn.functional.conv2d(
            x.double(),
            weight := layer.weight.detach().double().requires_grad_(),
            layer.bias.detach().double() if layer.bias is not None else None,
            layer.stride,
            layer.padding,
            groups=8,
        ),
        weight,
        2 * exact.double(),
    )[0]
    torch.testing.assert_close(in_float.double(), want, rtol=4e-3, atol=4e-3 * float(want.std()))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 8, 3, 1, 1, groups=8),  # no stride
        nn.Conv2d(8, 8, 3, 2, 1),  # one group
        nn.Conv2d(8, 8, 3, 2, 1, groups=4),  # groups of two channels
        nn.Conv2d(8, 8, 1),
    ],
)
def test_other_convolutions_are_left_alone(layer: nn.Conv2d) -> None:
    x = torch.randn(2, 8, 10, 6)
    for ours, plain in zip(
        _gradients(layer, x, inside=True), _gradients(layer, x, inside=False), strict=True
    ):
        assert ours.dtype == plain.dtype
        assert torch.equal(ours, plain)


def test_without_autocast_nothing_changes() -> None:
    layer, x = nn.Conv2d(8, 8, 3, 2, 1, groups=8), torch.randn(2, 8, 10, 6)
    with StridedDepthwiseInFloat():
        inside = layer(x)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, layer(x))
    with torch.autocast("cpu", torch.float16), StridedDepthwiseInFloat():
        assert layer(x).dtype == torch.float16


class _OneLayer(Network):
    """Gives, as its one feature map, a strided depthwise convolution of what it gets."""

    def __init__(self) -> None:
        super().__init__(feature_size=3)
        self.layer = nn.Conv2d(3, 3, 3, 2, 1, groups=3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        return out

    def forward_train(self, x: torch.Tensor) -> TrainOutput:
        return TrainOutput((self.forward(x),), ())


@pytest.mark.parametrize("precision", ["bf16", "f32"])
def test_a_training_step_computes_it_so(precision: str) -> None:
    torch.manual_seed(0)
    network, x = _OneLayer(), torch.randn(4, 3, 10, 6)
    recipe = override(load("robust-reid-1x-builtin"), [f"precision={precision}"])
    (found,) = LossOfBatch(network, recipe).outputs(x).features
    assert torch.equal(found, network(x).to(AUTOCAST[precision]))
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(found, network(x))  # the plain one rounds its weights, too
