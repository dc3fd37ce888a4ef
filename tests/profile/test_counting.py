"""Multiply-adds and activations against closed forms and against hooks on the layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgereid.models.registry import Network, TrainOutput, build
from edgereid.models.robust_reid import ONE, RobustReID
from edgereid.profile import profile, profile_network
from edgereid.profile.counting import count, may_multiply


class Tiny(Network):
    def __init__(self) -> None:
        super().__init__(feature_size=5)
        self.conv = nn.Conv2d(3, 4, 3, padding=1, groups=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.norm(self.conv(x)).mean((2, 3)))
        return out

    def forward_train(self, x: Tensor) -> TrainOutput:
        return TrainOutput((self(x),), ())


def test_counts_equal_the_closed_form() -> None:
    result = profile_network("tiny", Tiny(), (3, 6, 7))
    conv, linear = 3 * 3 * 3 * 4 * 6 * 7, 4 * 5
    assert result.macs == conv + linear
    assert result.fvcore_total == conv + linear + 2 * 4 * 6 * 7  # its batch norm: 2 per element
    assert result.parameters == (3 * 3 * 3 * 4 + 4) + 2 * 4 + (4 * 5 + 5)
    assert result.activations == 4 * 6 * 7 + 5
    assert [s.output for s in result.stages] == [(4, 6, 7), (4, 6, 7), (5,)]
    assert sum(s.macs for s in result.stages) == result.macs
    assert [s.activations for s in result.stages] == [4 * 6 * 7, 0, 5]
    assert result.peak.bytes == 4 * (3 + 4) * 6 * 7  # the image and the convolution's output


def test_profiling_leaves_the_network_as_it_was() -> None:
    net = Tiny().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    profile_network("tiny", net, (3, 6, 7))
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_activations_are_what_hooks_on_the_layers_see() -> None:
    network, seen = build("osnet_x0_25").eval(), []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda _m, _i, out: seen.append(out.numel()))
    with torch.no_grad():
        network(torch.zeros(1, 3, 256, 128))
    assert profile("osnet_x0_25").activations == sum(seen)


def test_a_matrix_product_that_broadcasts_counts_every_copy() -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.matmul(torch.ones(4, 1, 7, 6), x)  # (1, 3, 6, 5) -> (4, 3, 7, 5)

    found = count(Product(), torch.zeros(1, 3, 6, 5))
    assert found.macs[""] == 4 * 3 * 7 * 5 * 6
    assert found.activations[""] == 4 * 3 * 7 * 5


def test_crops_by_matrix_products_cost_what_their_sizes_say() -> None:
    def macs(crop: str) -> int:
        return count(RobustReID(ONE, crop=crop).eval(), torch.zeros(1, 3, 160, 64)).macs[""]

    levels = ((32, 80, 32, 24, 28), (128, 40, 16, 12, 14), (256, 20, 8, 6, 7))  # C, H, W, h, w
    products = sum(4 * c * h * w_in * (h_in + w) for c, h_in, w_in, h, w in levels)
    assert macs("matmul") - macs("grid_sample") == products
    assert math.isclose(products, 17.2e6, rel_tol=0.005)


def test_an_operator_that_could_multiply_and_add_is_named() -> None:
    class Distance(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(x.flatten(2).sigmoid(), x.flatten(2))

    found = count(Distance(), torch.zeros(1, 3, 6, 5))
    assert set(found.unsupported) >= {"aten::cdist", "aten::sigmoid"}
    assert may_multiply(found.unsupported) == ("aten::cdist",)
    assert may_multiply({"aten::add_": 1, "aten::softmax": 2}) == ()
