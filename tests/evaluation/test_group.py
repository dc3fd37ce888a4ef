"""Several processes: shares, and real ones that meet, agree, fail and end."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.data.types import ReidDataset
from edgereid.errors import UsageError
from edgereid.evaluation.group import Alone, join, share
from edgereid.files import sha256
from edgereid.images import Preprocessing

pytest.importorskip("torch", reason="processes talk through torch.distributed")
TOY = Path(__file__).with_name("toy_eval.py")


@given(count=st.integers(0, 500), batch=st.integers(1, 40), size=st.integers(1, 9))
def test_shares_are_whole_batches_cover_all_images_once_and_are_even(
    count: int, batch: int, size: int
) -> None:
    shares = [share(count, batch, rank, size) for rank in range(size)]
    assert [i for part in shares for i in part] == list(range(count))
    assert all(part.start % batch == 0 or not part for part in shares)
    batches = [-(-len(part) // batch) for part in shares]
    assert max(batches) - min(batches) <= 1


@pytest.mark.parametrize("size", ["", "1"])
def test_one_process_is_alone(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    with join() as group:
        assert isinstance(group, Alone)
        assert (group.rank, group.size, group.collect(3.0)) == (0, 1, [3.0])


@pytest.mark.parametrize(
    "changes", [{"RANK": ""}, {"RANK": "2"}, {"RANK": "-1"}, {"MASTER_PORT": ""}, {"RANK": "x"}]
)
def test_an_incomplete_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    whole = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in {**whole, **changes}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="start with torchrun"), join():
        pass


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@dataclass
class Processes:
    """Starts two processes that evaluate together, as torchrun would."""

    folder: Path
    extra: list[list[str]] = field(default_factory=lambda: [[], []])

    def run(self, *arguments: str) -> list[Outcome]:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        started = [
            subprocess.Popen(
                [sys.executable, str(TOY), str(self.folder), *arguments, *self.extra[rank]],
                env={
                    **os.environ,
                    "RANK": str(rank),
                    "WORLD_SIZE": "2",
                    "MASTER_ADDR": "localhost",
                    "MASTER_PORT": str(port),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        try:
            texts = [process.communicate(timeout=240) for process in started]
        finally:
            for process in started:
                process.kill()
        return [Outcome(p.returncode, *t) for p, t in zip(started, texts, strict=True)]


@pytest.fixture
def processes(tmp_path: Path, dataset: ReidDataset, small: Preprocessing) -> Processes:
    """With the dataset in data/, and copies of it: one with a corrupt image, one with fewer."""
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"weights")
    facts = {"weights": {"sha256": sha256(weights)}, "preprocessing": small.to_json()}
    weights.with_suffix(".json").write_text(json.dumps(facts))
    last = dataset.gallery[-1].path.relative_to(dataset.root)
    for name in ("corrupt", "fewer"):
        shutil.copytree(dataset.root, tmp_path / name)
    (tmp_path / "corrupt" / last).write_bytes(b"no image")
    (tmp_path / "fewer" / last).unlink()
    return Processes(tmp_path)


def alone(folder: Path, *arguments: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, str(TOY), str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_two_processes_find_what_one_finds_bit_for_bit(processes: Processes) -> None:
    # The engine's features depend on the place in the batch: other batches would show.
    one = alone(processes.folder, "--cache", "one")
    first, second = processes.run("--cache", "two")
    assert (one.code, first.code, second.code) == (0, 0, 0), first.err + second.err
    assert first.out == one.out
    assert first.out.endswith("run 25\n")
    assert second.out == ""
    tables = [next((processes.folder / n).glob("*.features")).read_bytes() for n in ("one", "two")]
    assert tables[0] == tables[1]
    again, _ = processes.run("--cache", "one")  # what one has cached serves two
    assert "run 0" in again.out


def test_what_two_kinds_of_processors_round_is_not_cached(processes: Processes) -> None:
    processes.extra[1] = ["--processor", "another"]
    first, second = processes.run("--cache", "two")
    assert (first.code, second.code) == (0, 0)
    assert first.err.count("different processors, which may round differently") == 1
    assert not (processes.folder / "two").exists()


@pytest.mark.parametrize(
    ("fault", "own", "others"),
    [
        ("--data corrupt", "is not an image", "process 1 of 2 failed: .*is not an image"),
        ("--version 1.1", "other engine than process 0", "other engine than process 0"),
        ("--data fewer", "other images than process 0", "other images than process 0"),
        ("--batch 5", "other options than process 0", "other options than process 0"),
        ("--die", "", "another process ended"),
    ],
)
def test_a_process_that_fails_ends_the_others_with_an_error(
    processes: Processes, fault: str, own: str, others: str
) -> None:
    processes.extra[1] = fault.split()
    first, second = processes.run()
    for outcome, wanted in ((second, own), (first, others)):
        assert outcome.code != 0
        assert outcome.out == ""
        assert re.search(wanted, outcome.err), outcome.err
