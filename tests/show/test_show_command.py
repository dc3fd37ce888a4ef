"""``edgereid show`` and activation maps on a real network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgereid.cli.main import main
from edgereid.images import Preprocessing
from edgereid.show.activation import activation_maps, energy

WEIGHTS = Path(__file__).parents[2] / "edgereid" / "weights" / "dslnet.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("show") / "data"
    argv = ["synth", str(root), "--ids", "6", "--test-ids", "4", "--workers", "1"]
    assert main(argv) == 0
    return root


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "edgereid" / "features"


def test_the_command_writes_a_page_and_says_what_is_in_it(
    data: Path, tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lists.html"
    argv = ["show", str(WEIGHTS), "--data", str(data), "--out", str(out), "--queries", "3"]
    argv += ["--threads", "1", "--json"]
    assert main(argv) == 0
    said = json.loads(capsys.readouterr().out)
    assert len(list(own_cache.iterdir())) == 1
    assert said["bytes"] == out.stat().st_size
    assert said["queries"] == 3
    text = out.read_text(encoding="utf-8")
    assert text.count("<section>") == 3
    assert f"{100 * said['engines'][0]['mean_ap']:.1f}" in text


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["{weights}", "--data", "{data}", "--sort", "random"], 2, "worst, best"),
        (["{weights}", "--data", "{data}", "--maps"], 2, "give a bundle"),
        (["{data}", "{weights}", "--data", "{data}"], 2, "two paths"),
        (["{weights}", "--data", "{data}", "--cache", "x", "--no-cache"], 2, "contradict"),
        (["missing.onnx", "--data", "{data}"], 3, "missing.onnx"),
        (["{weights}", "--data", "missing"], 3, "missing"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    argv: list[str],
    code: int,
    text: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [a.format(data=data, weights=WEIGHTS) for a in argv]
    out = tmp_path / "lists.html"
    assert main(["show", *words, "--out", str(out)]) == code
    errors = [x for x in capsys.readouterr().err.splitlines() if "edgereid: error: " in x]
    assert len(errors) == 1
    assert text in errors[0]
    assert not out.exists()


def test_energy_is_the_scaled_sum_of_squares() -> None:
    x = torch.tensor([[[[1.0, 2.0], [0.0, 3.0]], [[0.0, 0.0], [1.0, 4.0]]]])
    np.testing.assert_allclose(energy(x)[0], [[0, 3 / 24], [0, 1]], atol=1e-6)  # of 1 4 1 25


def test_the_map_is_that_of_the_last_feature_map(data: Path) -> None:
    network = nn.Sequential(nn.AvgPool2d(4), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    files = sorted((data / "query").glob("*.jpg"))[:2]
    preprocessing = Preprocessing(16, 8)
    maps = activation_maps(network, files, preprocessing)
    assert [m.shape for m in maps] == [(2, 1), (2, 1)]
    assert all(m.min() == 0 and m.max() == 1 for m in maps)
