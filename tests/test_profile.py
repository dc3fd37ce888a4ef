"""The profiler against closed forms, and what it prints."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from edgereid.cli.main import main
from edgereid.models.registry import Network, TrainOutput
from edgereid.profile import profile_network


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
    assert [s.output for s in result.stages] == [(4, 6, 7), (4, 6, 7), (5,)]
    assert sum(s.macs for s in result.stages) == result.macs


def test_profiling_leaves_the_network_as_it_was() -> None:
    net = Tiny().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    profile_network("tiny", net, (3, 6, 7))
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_the_command_prints_the_table_beside_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "dslnet"]) == 0
    out = capsys.readouterr().out
    for needle in ("1,919,838", "824,986,152", "825.0 M", "1.9 M", "64x32", "convention:"):
        assert needle in out


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "dslnet", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["macs"] == 824_986_152
    assert value["published"]["macs"] == 825.0e6
