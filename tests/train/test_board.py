"""``--tensorboard``: an error that says what to install, and what is written where it is."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from edgereid.errors import MissingRuntimeError
from edgereid.train.board import Board


def test_a_missing_package_is_an_error_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingRuntimeError, match="pip install tensorboard"):
        Board(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_epoch_becomes_scalars_and_a_resumed_run_replaces_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, float, int]] = []
    purged: list[int] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert folder == str(tmp_path / "tensorboard")
            purged.append(purge_step)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def flush(self) -> None:
            """Nothing is kept back."""

    fake: Any = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    board = Board(tmp_path)
    entry = {"epoch": 4, "loss": 1.5, "lr": 0.1, "images_per_s": 9.0, "waiting": 0.01}
    board.write(entry)
    board.write({**entry, "epoch": 5, "evaluation": {"map": 0.5}})
    assert purged == [4]
    assert ("train/loss", 1.5, 4) in written
    assert ("evaluation/map", 0.5, 5) in written
    assert len(written) == 9
