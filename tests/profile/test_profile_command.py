"""``edgereid profile`` as a user types it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import edgereid.profile.survey
from edgereid.cli.main import main
from edgereid.models.registry import entry
from edgereid.profile.memory import Peak
from edgereid.profile.network import Profile


@pytest.fixture
def two_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edgereid.profile.survey, "names", lambda: ("dslnet_se", "osnet_x0_25"))


def test_one_network_prints_the_table_beside_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "dslnet"]) == 0
    out = capsys.readouterr().out
    for needle in ("1,919,838", "824,986,152", "825.0 M", "1.9 M", "64x32", "convention:"):
        assert needle in out
    for needle in ("activations", "8,670,758", "4.43 MiB", "in s1"):
        assert needle in out


def test_one_network_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "osnet_x0_25", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["macs"] == 82_314_880
    assert value["published"]["macs"] == 82.3e6
    assert sum(stage["activations"] for stage in value["stages"]) == value["activations"]
    assert value["peak_memory"] == {"bytes": 1_179_648, "stage": "conv2", "operator": "convolution"}


@pytest.mark.usefixtures("two_networks")
def test_all_networks_print_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--all"]) == 0
    captured = capsys.readouterr()
    for needle in ("- dslnet_se", "82,314,880", "+0.93 %", "OSNet, Table 8", "1.12 MiB"):
        assert needle in captured.out
    assert captured.err == ""  # no bar where nobody watches


@pytest.mark.usefixtures("two_networks")
def test_all_networks_print_one_json_object_and_write_the_picture(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Profile("", (3, 8, 4), (), 10, 9, 8, Peak(7, "", ""), 9, {}, None)
    monkeypatch.setattr(
        edgereid.profile.survey,
        "profile",
        lambda name: replace(counted, network=name, published=entry(name).published),
    )
    picture = tmp_path / "new" / "plot.svg"
    assert main(["profile", "--all", "--json", "--plot", str(picture)]) == 0
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert [n["network"] for n in value["networks"]] == ["osnet_x0_25", "dslnet_se"]
    assert {row["dataset"] for row in value["published_accuracy"]} == {"Market-1501, single query"}
    assert {row["dataset"] for row in value["measured_accuracy"]} == {"built-in data set"}
    assert picture.read_bytes().startswith(b"<?xml")
    assert str(picture) in captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "--all"),
        (["dslnet", "--all"], 2, "one of the two"),
        (["dslnet", "--plot", "a.svg"], 2, "--all"),
        (["--all", "--plot", "a.pdf"], 2, ".svg or .png"),
        (["--all", "--plot", "folder.svg"], 2, "is a folder"),
        (["dslnett"], 2, "dslnet"),
    ],
    ids=lambda value: str(value),
)
def test_wrong_use_is_said_in_one_line(
    arguments: list[str],
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.svg").mkdir()
    assert main(["profile", *arguments]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
