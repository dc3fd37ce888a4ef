"""DSLNet against the published counts, its specification's per-part counts, and closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgereid.errors import UsageError
from edgereid.models.dslnet import DSL, DSLNet, ScaleSelection
from edgereid.models.registry import Network, build
from edgereid.profile import Profile, profile


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return build("dslnet").eval()


@pytest.fixture(scope="module")
def counted() -> Profile:
    return profile("dslnet")


def test_the_published_parameters_and_multiply_adds_are_reproduced(counted: Profile) -> None:
    result = counted
    assert result.parameters == 1_919_838
    assert result.macs == 824_986_152
    assert result.fvcore_total == 837_651_496


@pytest.mark.parametrize(
    ("stage", "output", "parameters", "macs"),
    [
        ("stem", (60, 64, 32), 8_940, 72_253_440),
        ("s1", (252, 64, 32), 126_144, 247_727_592),
        ("t1", (252, 32, 16), 64_008, 130_056_192),
        ("s2", (384, 32, 16), 362_724, 180_490_752),
        ("t2", (384, 16, 8), 148_224, 75_497_472),
        ("s3", (516, 16, 8), 676_782, 84_615_744),
        ("t3", (516, 16, 8), 267_288, 34_080_768),
        ("fc", (512,), 265_728, 264_192),
    ],
)
def test_every_stage_has_its_shape_and_counts(
    counted: Profile, stage: str, output: tuple[int, ...], parameters: int, macs: int
) -> None:
    row = next(s for s in counted.stages if s.name == stage)
    assert (row.output, row.parameters, row.macs) == (output, parameters, macs)


@pytest.mark.parametrize(
    ("stage", "block", "parts"),
    [
        ("s1", 0, (3_906, 27_972, 954, 16_380, 15_624)),
        ("s1", 1, (16_002, 27_972, 954, 16_380, 0)),
        ("s2", 0, (24_384, 61_632, 2_610, 37_632, 97_536)),
        ("s3", 0, (49_794, 108_360, 4_539, 67_596, 199_176)),
        ("s3", 1, (66_822, 108_360, 4_539, 67_596, 0)),
    ],
)
def test_every_part_of_a_block_has_its_parameters(
    network: Network, stage: str, block: int, parts: tuple[int, ...]
) -> None:
    dsl = network.get_submodule(f"{stage}.{block}")
    found = tuple(
        _count(dsl.get_submodule(n)) for n in ("reduce", "dense", "select", "expand", "shortcut")
    )
    assert found == parts


@pytest.mark.parametrize(("ids", "parameters"), [(751, 2_305_101), (1041, 2_453_871)])
def test_with_a_classifier_the_count_is_that_of_the_specification(
    ids: int, parameters: int
) -> None:
    assert _count(DSLNet(num_ids=ids, aux_head=False)) == parameters


def test_selection_with_a_zero_gate_is_the_plain_mean_of_the_streams() -> None:
    css = ScaleSelection(12, reduction=2).double()
    nn.init.zeros_(css.fc2.weight)
    assert css.fc2.bias is not None
    nn.init.zeros_(css.fc2.bias)
    streams = [torch.randn(2, 12, 4, 3, dtype=torch.float64) for _ in range(3)]
    torch.testing.assert_close(css(streams), sum(streams) / 3)


def test_grouped_convolutions_equal_one_small_network_per_stream() -> None:
    """The paper's text: V is split into N groups and group n gives the weights of stream n."""
    torch.manual_seed(1)
    m, n = 12, 3
    css = ScaleSelection(m, streams=n, reduction=4).double()
    streams = [torch.randn(2, m, 4, 3, dtype=torch.float64) for _ in range(n)]
    v = torch.stack(streams).sum(0).mean((2, 3))
    hidden = m // 4
    logits = []
    for k in range(n):
        w1 = css.fc1.weight[k * hidden : (k + 1) * hidden, :, 0, 0]
        w2 = css.fc2.weight[k * m : (k + 1) * m, :, 0, 0]
        assert css.fc1.bias is not None
        assert css.fc2.bias is not None
        b1, b2 = css.fc1.bias[k * hidden : (k + 1) * hidden], css.fc2.bias[k * m : (k + 1) * m]
        a = v[:, k * m // n : (k + 1) * m // n]
        logits.append(torch.relu(a @ w1.T + b1) @ w2.T + b2)
    omega = torch.stack(logits).softmax(0)  # over the streams, for each channel alone
    want = sum(omega[k][:, :, None, None] * streams[k] for k in range(n))
    torch.testing.assert_close(css(streams), want)


def test_streams_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="13 channels do not split into 3"):
        ScaleSelection(13)


def test_the_dense_group_sums_what_came_before() -> None:
    """eq. 1 with every H_k the identity: x_k = 2^(k-1) x_0: the taps are 2, 8, 32 times x_0."""
    block = DSL(12, 12).eval()
    block.reduce = nn.Identity()
    block.dense = nn.ModuleList(nn.Identity() for _ in range(6))
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, streams: list[torch.Tensor]) -> torch.Tensor:
            seen.extend(streams)
            return streams[0]

    block.select = Spy()  # type: ignore[assignment]
    block.expand = nn.Identity()  # type: ignore[assignment]
    x = torch.randn(1, 12, 2, 2)
    block(x)
    for stream, factor in zip(seen, (2, 8, 32), strict=True):
        torch.testing.assert_close(stream, factor * x)


def test_training_gives_feature_and_logits_of_both_heads() -> None:
    net = DSLNet(widths=(12, 24, 24, 24), num_ids=7)
    out = net.forward_train(torch.randn(2, 3, 64, 32))
    assert out.features[0].shape == (2, 512)
    assert out.logits[0].shape == out.aux_logits[0].shape == (2, 7)


def test_training_without_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="num_ids"):
        DSLNet(widths=(12, 24, 24, 24)).forward_train(torch.randn(2, 3, 64, 32))


def test_the_heads_do_not_change_the_feature() -> None:
    torch.manual_seed(0)
    trained = DSLNet(widths=(12, 24, 24, 24), num_ids=7).eval()
    plain = DSLNet(widths=(12, 24, 24, 24)).eval()
    missing, _ = plain.load_state_dict(trained.state_dict(), strict=False)
    assert not missing
    x = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(plain(x), trained(x), rtol=0, atol=0)


def test_an_unknown_network_is_refused_with_what_exists() -> None:
    with pytest.raises(
        UsageError, match=r"unknown network 'dslnett'.*Did you mean 'dslnet'.*Known: "
    ):
        build("dslnett")
