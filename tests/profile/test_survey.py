"""The survey: deviations, order, groups, and what every registered network must state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgereid.models.registry import Published, entry, names
from edgereid.profile.memory import Peak
from edgereid.profile.network import Profile
from edgereid.profile.survey import Deviation, SurveyRow, in_order, row_of, survey, to_json
from edgereid.profile.text import every


def a_profile(name: str, published: Published | None = None, **counts: int) -> Profile:
    found = Profile(
        network=name,
        input=(3, 8, 4),
        stages=(),
        parameters=1_000,
        macs=2_000,
        activations=300,
        peak=Peak(4 * 2**20, "s1", "convolution"),
        fvcore_total=2_100,
        unsupported={"aten::add": 2},
        published=published,
    )
    return replace(found, **counts)


def rows(*profiles: tuple[Profile, str]) -> tuple[SurveyRow, ...]:
    return in_order(row_of(found, paper) for found, paper in profiles)


@pytest.mark.parametrize(
    ("ours", "paper", "as_printed"),
    [
        (1_919_838, 1.9e6, True),
        (824_986_152, 825.0e6, True),
        (978_875_392, 978.9e6, True),
        (82_314_880, 82.3e6, True),
        (82_351_000, 82.3e6, False),
        (201_864, 0.2e6, True),
        (5_759_834, 6.4e6, False),
        (682_665_130, 0.72e9, False),
        (1_949_999, 1.9e6, True),
        (1_950_001, 1.9e6, False),
    ],
)
def test_a_count_is_as_printed_when_it_rounds_to_the_printed_digits(
    ours: int, paper: float, as_printed: bool
) -> None:
    found = Deviation(ours, paper, "why")
    assert found.as_printed == as_printed
    assert found.percent == pytest.approx(100 * (ours / paper - 1))
    assert found.to_json()["reason"] == ("" if as_printed else "why")


def test_main_networks_come_before_their_ablations_and_papers_stay_together() -> None:
    printed = Published(None, None, "Table 1")
    found = rows(
        (a_profile("b_small"), "B"),
        (a_profile("a_zero"), "A"),
        (a_profile("b", printed), "B"),
        (a_profile("c", printed), "A"),
        (a_profile("aa"), "B"),
    )
    assert [r.profile.network for r in found] == ["b", "aa", "b_small", "c", "a_zero"]
    assert [r.main for r in found] == [True, False, False, True, False]


def test_the_text_says_what_deviates_and_why() -> None:
    close = Published(1.0e3, 2.5e3, "Table 7", {}, "it counts ReLU")
    text = every(rows((a_profile("net", close), "P"), (a_profile("net_max"), "P")))
    net, ablation = (" ".join(line.split()) for line in text.splitlines() if "8x4" in line)
    assert net == "net 8x4 1,000 0.0 M +0.00 % 2,000 0.0 M -20.00 %* 300 4.00 MiB"
    assert ablation == "- net_max 8x4 1,000 2,000 300 4.00 MiB"
    assert "  net: Table 7.\n" in text
    assert "  net: it counts ReLU.\n" in text


def test_a_deviation_without_a_reason_is_called_that() -> None:
    text = every(rows((a_profile("net", Published(3e3, None, "Table 7")), "P")))
    assert "net: why ours differs is not known." in text


def test_operators_that_could_multiply_and_add_stand_apart() -> None:
    odd = replace(a_profile("net"), unsupported={"aten::cdist": 1, "aten::add_": 4})
    lines = [line.strip() for line in every(rows((odd, "P"))).splitlines()]
    assert "operators fvcore does not count (no multiply-adds): add_." in lines
    assert "UNSUPPORTED operators, whose multiply-adds, if any, are missing: cdist." in lines


def test_the_json_has_this_shape() -> None:
    row = rows((a_profile("net", Published(1e3, None, "T")), "P"))
    value = to_json(row, ())
    assert value["schema"] == 1
    assert set(value) == {
        "schema",
        "conventions",
        "networks",
        "published_accuracy",
        "measured_accuracy",
    }
    assert set(value["conventions"]) == {"macs", "activations", "peak_memory"}
    assert value["networks"] == [
        {
            "network": "net",
            "paper": "P",
            "main": True,
            "input": [3, 8, 4],
            "parameters": 1_000,
            "macs": 2_000,
            "activations": 300,
            "peak_memory": {"bytes": 4_194_304, "stage": "s1", "operator": "convolution"},
            "fvcore_total": 2_100,
            "unsupported_operators": {"aten::add": 2},
            "may_multiply": [],
            "published": {
                "source": "T",
                "parameters": {
                    "paper": 1e3,
                    "deviation_percent": 0.0,
                    "as_printed": True,
                    "reason": "",
                },
                "macs": None,
            },
        }
    ]


@pytest.mark.slow
def test_every_registered_network_is_surveyed_and_explains_its_deviation() -> None:
    found = survey()
    assert sorted(row.profile.network for row in found) == list(names())
    for row in found:
        name = row.profile.network
        assert row.profile.macs > row.profile.activations > 0, name
        assert not row.to_json()["may_multiply"], name
        assert row.profile.peak.bytes >= 4 * 3 * entry(name).input.height, name
        for deviation in (row.parameters, row.macs):
            assert deviation is None or deviation.as_printed or deviation.reason, name
