"""A run that was stopped and resumed ends in the same bits as one that was not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgereid.errors import InputError, UsageError
from edgereid.train.interrupt import Interrupt, StopRequested
from edgereid.train.recipe import Recipe
from edgereid.train.run import TrainOptions, run_training


@pytest.fixture
def options(market: Path, recipe: Recipe, tmp_path: Path) -> TrainOptions:
    return TrainOptions(recipe=recipe, data=market, out=tmp_path / "run", threads=1)


def _stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Ctrl-C after so many steps; returns what takes the trap away."""
    seen = 0

    def check(self: Interrupt) -> None:
        nonlocal seen
        seen += 1
        if seen == steps:
            self.requested = True
            raise StopRequested

    original = Interrupt.check
    monkeypatch.setattr(Interrupt, "check", check)
    return lambda: monkeypatch.setattr(Interrupt, "check", original)


@pytest.mark.parametrize("steps", [1, 4, 7])  # within the first, second and third epoch, or between
def test_a_resumed_run_ends_in_the_bits_of_an_uninterrupted_one(
    options: TrainOptions, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(options, out=tmp_path / "whole")
    run_training(whole)
    lift = _stop_after(steps, monkeypatch)
    with pytest.raises(StopRequested):
        run_training(options)
    lift()
    assert not (options.out / "weights.safetensors").exists()
    run_training(replace(options, resume=True))
    name = "weights.safetensors"
    assert (options.out / name).read_bytes() == (whole.out / name).read_bytes()
    assert _losses(options.out) == _losses(whole.out)


def _losses(out: Path) -> list[float]:
    lines = (out / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_another_seed_gives_other_weights(options: TrainOptions, tmp_path: Path) -> None:
    """Guards the test above: equal bits would mean nothing if nothing depended on the run."""
    other = replace(options, recipe=replace(options.recipe, seed=8), out=tmp_path / "other")
    run_training(options)
    run_training(other)
    name = "weights.safetensors"
    assert (options.out / name).read_bytes() != (other.out / name).read_bytes()


def test_the_record_of_a_run_holds_what_it_takes_to_repeat_it(options: TrainOptions) -> None:
    run_training(replace(options, command="edgereid train tiny"))
    record = json.loads((options.out / "weights.json").read_text())
    assert record["command"] == "edgereid train tiny"
    assert record["seed"] == 7
    assert len(record["curves"]) == 3
    assert len(record["data"]["sha256"]) == 64
    assert 0 <= record["evaluation"]["map"] <= 1
    assert record["recipe"]["network"] == "tiny"


def test_a_run_is_never_overwritten_by_accident(options: TrainOptions) -> None:
    run_training(options)
    with pytest.raises(UsageError, match="already holds a run"):
        run_training(options)


def test_a_run_is_not_resumed_with_another_recipe(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    lift = _stop_after(2, monkeypatch)
    with pytest.raises(StopRequested):
        run_training(options)
    lift()
    other = replace(options, recipe=replace(options.recipe, lr=0.5), resume=True)
    with pytest.raises(UsageError, match="recipe"):
        run_training(other)


def test_resuming_where_there_is_no_run_is_refused(options: TrainOptions) -> None:
    with pytest.raises((InputError, UsageError), match=r"last\.pt"):
        run_training(replace(options, resume=True))


def test_ctrl_c_saves_and_the_printed_command_resumes(
    driver: Path, recipe_file: Path, market: Path, tmp_path: Path
) -> None:
    """A real SIGINT to a real process, then ``--resume``, against a run left alone."""

    def command(out: Path, *more: str) -> list[str]:
        words = ["train", "tiny", "--recipe", recipe_file, "--data", market, "--out", out]
        return [sys.executable, str(driver), *map(str, words), "--threads", "1", *more]

    long = ("--epochs", "40")
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = subprocess.Popen(command(stopped, *long), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (stopped / "log.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "--resume" in err
    assert "Traceback" not in err
    assert not (stopped / "weights.safetensors").exists()
    subprocess.run(command(stopped, *long, "--resume"), check=True, capture_output=True)
    subprocess.run(command(whole, *long), check=True, capture_output=True)
    name = "weights.safetensors"
    assert (stopped / name).read_bytes() == (whole / name).read_bytes()
