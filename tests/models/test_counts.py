"""Parameters and multiply-adds of every network, to the last digit."""

from __future__ import annotations

import pytest

from edgereid.models.registry import build
from edgereid.profile import profile

#: Name -> parameters for inference, multiply-adds of convolutions, linear layers, matrix products.
COUNTS = {
    "dslnet": (1_919_838, 824_986_152),
    "robust_reid_1x": (2_910_596, 682_665_130),
    "robust_reid_2x": (5_759_834, 1_621_772_618),
    "mgn": (68_807_744, 11_884_822_528),
    "resnest50_k2r3": (28_201_956, 5_407_064_064),
    "resnest50_k1r2": (25_434_240, 5_259_577_344),
    "sa_mbn": (26_129_473, 4_126_670_848),
    "osnet_x1_0": (2_169_508, 978_875_392),
    "osnet_x0_25": (201_864, 82_314_880),
    "hacnn": (2_929_112, 543_994_538),
}
#: With the heads for the 751 persons of Market-1501.
TRAINING = {
    "mgn": 74_389_176,
    "resnest50_k2r3": 29_740_755,
    "sa_mbn": 29_210_621,
    "hacnn": 3_699_638,
}
ROBUST_1X = {
    "conv1": (928, 2_211_840),
    "stage1": (96_672, 210_247_680),
    "attention1": (20_006, 10_490_912),
    "local1": (9_632, 10_214_400),
    "stage2": (486_528, 279_408_640),
    "attention2": (76_854, 10_496_520),
    "local2": (52_736, 16_902_144),
    "stage3": (869_312, 123_210_240),
    "attention3": (170_566, 5_919_874),
    "local3": (141_248, 12_579_840),
    "fc_global": (198_144, 196_608),
    "fc_local": (787_968, 786_432),
}
RESNEST_LAYERS = {"layer1": 262_188, "layer2": 1_470_304, "layer3": 8_602_528, "layer4": 17_838_168}


@pytest.mark.parametrize("name", COUNTS)
def test_the_counts_are_those_specified(name: str) -> None:
    found = profile(name)
    assert (found.parameters, found.macs) == COUNTS[name]
    assert sum(stage.macs for stage in found.stages) == found.macs


@pytest.mark.parametrize("name", TRAINING)
def test_the_training_form_has_its_heads_and_nothing_else(name: str) -> None:
    assert sum(p.numel() for p in build(name, 751).parameters()) == TRAINING[name]


def test_robust_reid_agrees_stage_by_stage() -> None:
    found = {s.name: (s.parameters, s.macs) for s in profile("robust_reid_1x").stages}
    assert {name: found[name] for name in ROBUST_1X} == ROBUST_1X
    assert found["pool_global"] == found["pool_local"] == (1, 0)


def test_resnest_agrees_layer_by_layer() -> None:
    found = {s.name: s.parameters for s in profile("resnest50_k2r3").stages}
    assert {name: found[name] for name in RESNEST_LAYERS} == RESNEST_LAYERS
