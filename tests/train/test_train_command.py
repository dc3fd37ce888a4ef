"""``edgereid train``: flags, output, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgereid.cli.main import main


def test_json_prints_one_object_and_nothing_else_on_standard_output(
    market: Path, tmp_path: Path, recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "tiny", "--data", market, "--out", tmp_path / "run", "--recipe", recipe_file]
    more = ["--epochs", "1", "--seed", "3", "--set", "lr=0.001", "--threads", "1", "--json"]
    assert main([*map(str, words), *more]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["seed"] == 3
    assert result["recipe"]["lr"] == 0.001
    assert 0 <= result["evaluation"]["map"] <= 1
    assert "--set lr=0.001 --epochs 1 --seed 3" in result["command"]
    assert str(tmp_path) not in json.dumps(json.loads((tmp_path / "run/weights.json").read_text()))
    assert captured.err.splitlines()[0].startswith("epoch 1/1")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "tiny", "--recipe", "nope"], 2, "unknown recipe 'nope'"),
        (["train", "tiny"], 2, "unknown recipe 'tiny-scratch'"),
        (["train", "dslnet", "--recipe", "RECIPE"], 2, "trains tiny, not dslnet"),
        (["train", "tiny", "--recipe", "RECIPE", "--set", "lr=x"], 2, "lr is 'x'"),
        (["train", "tiny", "--recipe", "RECIPE", "--threads", "0"], 2, "--threads 0"),
        (["train", "tiny", "--recipe", "RECIPE", "--epochs", "0"], 2, "epochs is 0"),
        (["train", "tiny", "--recipe", "RECIPE", "--set", "identities=99"], 3, "shows? 6 people"),
        (["train", "tiny", "--recipe", "RECIPE", "--data", "EMPTY"], 3, "EMPTY|empty"),
    ],
)
def test_wrong_use_is_one_line_and_an_exit_code(
    market: Path,
    tmp_path: Path,
    recipe_file: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    import re

    (tmp_path / "empty").mkdir()
    real = {"RECIPE": str(recipe_file), "EMPTY": str(tmp_path / "empty")}
    data = [] if "--data" in words else ["--data", str(market)]
    arguments = [*(real.get(w, w) for w in words), *data, "--out", str(tmp_path / "run")]
    assert main(arguments) == code
    errors = capsys.readouterr().err
    assert re.search(message, errors)
    assert len(errors.strip().splitlines()) == 1
