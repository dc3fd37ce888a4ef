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
from typing import Any

import pytest
import torch

from edgereid.cli.main import main
from edgereid.errors import InputError, StorageError, UsageError
from edgereid.train import checkpoint as checkpoints
from edgereid.train import evaluate as evaluation
from edgereid.train.interrupt import Interrupt, StopRequested
from edgereid.train.loop import Trainer
from edgereid.train.recipe import Recipe
from edgereid.train.run import TrainOptions, run_training

STEPS = 5  # of a shuffled epoch: 30 images in batches of 6
TIMES = ("seconds", "images_per_s", "waiting")


@pytest.fixture
def options(market: Path, recipe: Recipe, tmp_path: Path) -> TrainOptions:
    return TrainOptions(recipe=recipe, data=market, out=tmp_path / "run", threads=1)


def stop_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    """Ask for a stop while step number ``steps`` (from 1) is running."""
    original, done = Trainer._step, []

    def step(self: Trainer, *args: Any) -> float:
        value = original(self, *args)
        done.append(value)
        self.interrupt.requested = len(done) == steps
        return value

    patch.setattr(Trainer, "_step", step)


def curves(out: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k not in TIMES} for e in entries]


def final_state(out: Path) -> checkpoints.Checkpoint:
    return checkpoints.load(out / checkpoints.CHECKPOINT)


def assert_same_end(one: Path, other: Path) -> None:
    a, b = one / "weights.safetensors", other / "weights.safetensors"
    assert a.read_bytes() == b.read_bytes()
    assert curves(one) == curves(other)
    left, right = final_state(one), final_state(other)
    assert all(torch.equal(left.model[k], right.model[k]) for k in left.model)
    for i, moments in left.optimizer["state"].items():
        for k, value in moments.items():
            assert torch.equal(value, right.optimizer["state"][i][k])


@pytest.mark.parametrize(
    ("changes", "stops", "at"),
    [
        # mid-epoch, then exactly at the epoch's last step, then after one step of the next
        ({"triplet": "none", "eval_every": 2}, (3, 2, 1), (1, 1)),
        ({"precision": "bf16", "optimizer": "sgd", "triplet_start": 0.5}, (12,), (2, 2)),
        ({"sampler": "identity", "optimizer": "adamw", "freeze_epochs": 1}, (2,), (0, 2)),
        ({"fixed_norm_epochs": 1}, (11,), (1, 5)),
    ],
)
def test_a_resumed_run_ends_in_the_bits_of_an_uninterrupted_one(
    options: TrainOptions,
    tmp_path: Path,
    changes: dict[str, Any],
    stops: tuple[int, ...],
    at: tuple[int, int],
) -> None:
    options = replace(options, recipe=replace(options.recipe, **changes))
    whole = replace(options, out=tmp_path / "whole")
    run_training(whole)
    for i, steps in enumerate(stops):
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, steps)
            with pytest.raises(StopRequested):
                run_training(replace(options, resume=i > 0))
    progress = final_state(options.out).progress
    assert (progress.epoch, progress.step) == at
    assert not (options.out / "weights.safetensors").exists()
    run_training(replace(options, resume=True))
    assert_same_end(whole.out, options.out)


def test_another_seed_gives_other_weights(options: TrainOptions, tmp_path: Path) -> None:
    """Guards the test above: equal bits would mean nothing if nothing depended on the run."""
    options = replace(options, recipe=replace(options.recipe, epochs=1))
    other = replace(options, recipe=replace(options.recipe, seed=8), out=tmp_path / "other")
    run_training(options)
    run_training(other)
    name = "weights.safetensors"
    assert (options.out / name).read_bytes() != (other.out / name).read_bytes()


def test_a_stop_during_an_evaluation_loses_neither_the_epoch_nor_the_evaluation(
    options: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(options.recipe, epochs=2, eval_every=1, triplet="none")
    options = replace(options, recipe=recipe)
    whole = replace(options, out=tmp_path / "whole")
    run_training(whole)
    original = evaluation.iter_batches

    def interrupting(*args: Any, **kwargs: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "iter_batches", interrupting)
        with pytest.raises(StopRequested):
            run_training(options)
    progress = final_state(options.out).progress
    assert (progress.epoch, progress.step, progress.curves) == (0, STEPS, [])
    run_training(replace(options, resume=True))
    assert_same_end(whole.out, options.out)
    assert "map" in curves(options.out)[0]["evaluation"]
    assert (options.out / "best.safetensors").exists()


def test_ctrl_c_saves_says_how_to_resume_and_exits_with_130(
    market: Path, tmp_path: Path, recipe_file: Path, driver: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A real SIGINT to a real process, then ``--resume``, against a run left alone."""

    def arguments(out: Path) -> list[str]:
        words = ["train", "tiny", "--data", market, "--out", out, "--recipe", recipe_file]
        return [*map(str, words), "--epochs", "8", "--threads", "1"]

    out = tmp_path / "stopped"
    with subprocess.Popen(
        [sys.executable, str(driver), *arguments(out)], stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: (out / "log.jsonl").exists() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    last = errors.splitlines()[-1]
    assert last.endswith("--resume")
    assert f"--out {out}" in last
    assert "Traceback" not in errors
    assert 0 < final_state(out).progress.epoch < 8
    assert main([*arguments(out), "--resume"]) == 0
    assert main(arguments(tmp_path / "whole")) == 0
    assert_same_end(tmp_path / "whole", out)
    assert "Rank-1" in capfd.readouterr().out


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "the run did not get going"
        time.sleep(0.02)


def test_a_second_ctrl_c_stops_at_once_and_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        interrupt.check()
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested
        with pytest.raises(StopRequested):
            interrupt.check()
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(signal.SIGINT)
        assert caught.type is KeyboardInterrupt  # not StopRequested: nothing is saved
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def finished(options: TrainOptions) -> TrainOptions:
    """A run of one epoch that has ended."""
    options = replace(options, recipe=replace(options.recipe, epochs=1))
    run_training(replace(options, command="edgereid train tiny"))
    return options


def test_the_record_of_a_run_holds_what_it_takes_to_repeat_it(finished: TrainOptions) -> None:
    record = json.loads((finished.out / "weights.json").read_text())
    assert record["command"] == "edgereid train tiny"
    assert record["seed"] == 7
    assert len(record["curves"]) == 1
    assert len(record["data"]["sha256"]) == 64
    assert 0 <= record["evaluation"]["map"] <= 1
    assert record["recipe"] == finished.recipe.to_json()


def test_a_run_is_not_overwritten(finished: TrainOptions) -> None:
    with pytest.raises(UsageError, match="already holds a run: add --resume"):
        run_training(finished)


def test_a_run_is_not_resumed_with_another_recipe_or_other_data(
    market: Path, finished: TrainOptions
) -> None:
    other = replace(finished, recipe=replace(finished.recipe, lr=0.1), resume=True)
    with pytest.raises(UsageError, match=r"recipe\.lr was 0\.002, is 0\.1 now"):
        run_training(other)
    first = sorted((market / "bounding_box_train").iterdir())[0]
    content = first.read_bytes()
    try:
        first.write_bytes(content + b"\0")  # decodes to the same pixels; still other data
        with pytest.raises(UsageError, match=r"data\.sha256 was"):
            run_training(replace(finished, resume=True))
    finally:
        first.write_bytes(content)


def test_resuming_a_finished_run_only_evaluates_it_again(finished: TrainOptions) -> None:
    weights = finished.out / "weights.safetensors"
    before = weights.read_bytes()
    run_training(replace(finished, resume=True))
    assert weights.read_bytes() == before


def test_a_foreign_folder_or_a_file_is_not_used_as_out(
    options: TrainOptions, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(UsageError, match="already holds other files"):
        run_training(replace(options, out=tmp_path))
    with pytest.raises(UsageError, match="is a file"):
        run_training(replace(options, out=notes))
    with pytest.raises(UsageError, match="start the run without --resume"):
        run_training(replace(options, resume=True))


class Evil:
    """Unpickling it would leave a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_file_that_is_no_checkpoint_is_refused_without_running_it(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_bytes(b"hello")
    (tmp_path / "empty.pt").write_bytes(b"")
    values: dict[str, Any] = {
        "evil": {"schema": checkpoints.SCHEMA, "identity": Evil(tmp_path / "ran")},
        "future": {"schema": 99},
        "partial": {"schema": checkpoints.SCHEMA},
        "list": [1, 2],
    }
    for name, value in values.items():
        torch.save(value, tmp_path / f"{name}.pt")
    for name in ("text", "empty", *values):
        with pytest.raises(InputError, match=f"{name}.pt"):
            checkpoints.load(tmp_path / f"{name}.pt")
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_leaves_the_previous_checkpoint(
    finished: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished.out / "last.pt"
    before, state = path.read_bytes(), final_state(finished.out)

    def no_space(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(StorageError, match="the disk is full"):
        checkpoints.save(path, state)
    assert path.read_bytes() == before
    assert not [p for p in finished.out.iterdir() if p.name.startswith(".")]


def test_a_killed_run_resumes_to_the_weights_of_one_left_alone(
    market: Path, tmp_path: Path, recipe_file: Path, driver: Path
) -> None:
    """SIGKILL leaves no time to save: the run goes on from the end of the last whole epoch."""

    def arguments(out: Path) -> list[str]:
        words = ["train", "tiny", "--data", market, "--out", out, "--recipe", recipe_file]
        return [*map(str, words), "--epochs", "6", "--threads", "1"]

    out = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, str(driver), *arguments(out)], stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: (out / "log.jsonl").exists() or process.poll() is not None)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "weights.safetensors").exists()
    assert main([*arguments(out), "--resume"]) == 0
    assert main(arguments(tmp_path / "whole")) == 0
    assert_same_end(tmp_path / "whole", out)
