"""Writing a drawn dataset in the layout and with the file names of Market-1501.

The work is a list of shots; every image depends on the options and its own number alone, so
processes may take the shots in any order. Files go to a folder beside the target, which takes
the target's name when all is written: a broken run leaves nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

from edgereid.data.synth.draws import Draws
from edgereid.data.synth.identity import STREAM_SPLIT, Identity, sample_identities, sample_stranger
from edgereid.data.synth.options import DRAWING_VERSION, SynthOptions
from edgereid.data.synth.scene import Shot, take
from edgereid.data.types import DISTRACTOR_PID, JUNK_PID
from edgereid.errors import StorageError, UsageError

T = TypeVar("T")

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
DESCRIPTION = "synth.json"
#: How likely a person passes a given camera; everybody passes at least two.
_PRESENCE = 0.92
#: Of the distractors, how many are passers-by; the others are boxes around nobody.
_PASSERS_BY = 0.7
#: Stream numbers beyond all identities.
_FIRST_DISTRACTOR, _FIRST_JUNK = 10_000, 200_000
_CHUNK = 16


class ProgressBar(Protocol):
    """Wraps an iterable to show how far it has come, as ``edgereid.progress.progress`` does."""

    def __call__(self, items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]: ...


@dataclass(frozen=True, slots=True)
class Job:
    """One file to write: its folder, its identity and camera, and its number among those."""

    folder: str
    pid: int
    camera: int
    serial: int

    @property
    def name(self) -> str:
        """The path below the root, e.g. ``query/0002_c1s1_000004_00.jpg``."""
        person = f"{self.pid:04d}" if self.pid >= 0 else str(self.pid)
        return f"{self.folder}/{person}_c{self.camera}s1_{self.serial:06d}_00.jpg"


@dataclass(frozen=True, slots=True)
class SynthResult:
    """What was written; ``existed`` if the same dataset was there already."""

    root: Path
    train: int
    query: int
    gallery: int
    existed: bool


def split_identities(options: SynthOptions) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The identities to train on and those to test on, each sorted; together 1, 2, ...."""
    pids = range(1, options.train_ids + options.test_ids + 1)
    order = sorted(pids, key=lambda pid: (Draws(options.seed, STREAM_SPLIT, pid, 0).unit(), pid))
    return (
        tuple(sorted(order[: options.train_ids])),
        tuple(sorted(order[options.train_ids :])),
    )


def _cameras_of(options: SynthOptions, pid: int) -> list[int]:
    draws = Draws(options.seed, STREAM_SPLIT, pid, 1)
    luck = {camera: draws.unit() for camera in range(1, options.cameras + 1)}
    likeliest = sorted(luck, key=lambda camera: luck[camera])
    return [c for c in luck if luck[c] < _PRESENCE or c in likeliest[:2]]


def plan(options: SynthOptions) -> list[Job]:
    """Every file of a dataset, sorted by folder and name."""
    train, test = split_identities(options)
    jobs = []
    for folder, pids in ((TRAIN, train), (GALLERY, test)):
        for pid in pids:
            for camera in _cameras_of(options, pid):
                jobs += [Job(folder, pid, camera, s) for s in range(options.images_per_camera)]
    for pid in test:
        serial = options.images_per_camera
        jobs += [Job(QUERY, pid, camera, serial) for camera in _cameras_of(options, pid)]
    for pid, count in ((DISTRACTOR_PID, options.distractors), (JUNK_PID, options.junk)):
        jobs += [Job(GALLERY, pid, 1 + s % options.cameras, s) for s in range(count)]
    return sorted(jobs, key=lambda job: job.name)


@lru_cache(maxsize=2)
def _cast(options: SynthOptions) -> tuple[list[Identity], tuple[int, ...]]:
    """All identities and the numbers of those to test on; the same in every process."""
    people = sample_identities(options.seed, options.train_ids + options.test_ids)
    return people, split_identities(options)[1]


def shot_of(options: SynthOptions, job: Job) -> Shot:
    """What the image of a job shows."""
    people, test = _cast(options)
    if job.pid > 0:
        return Shot(job.pid, people[job.pid - 1], job.camera, job.serial)
    draws = Draws(options.seed, STREAM_SPLIT, abs(job.pid), job.serial, 2)
    if job.pid == JUNK_PID:
        who = people[draws.choice(test) - 1]
        return Shot(_FIRST_JUNK + job.serial, who, job.camera, 0, spoilt=True)
    stream = _FIRST_DISTRACTOR + job.serial
    nobody = not draws.chance(_PASSERS_BY)
    who_else = None if nobody else sample_stranger(options.seed, stream)
    return Shot(stream, who_else, job.camera, 0)


def _write(task: tuple[str, SynthOptions, Job]) -> None:
    root, options, job = task
    Path(root, job.name).write_bytes(take(options.seed, shot_of(options, job)))


def _written(tasks: list[tuple[str, SynthOptions, Job]], workers: int) -> Iterator[None]:
    if workers == 1:
        yield from map(_write, tasks)
        return
    # Spawned, not forked: a fork of a process with threads (torch's) can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield from pool.map(_write, tasks, chunksize=_CHUNK)
        finally:
            pool.shutdown(cancel_futures=True)


def _description(options: SynthOptions) -> str:
    content = {"kind": "edgereid synth", "drawing": DRAWING_VERSION, "options": asdict(options)}
    return json.dumps(content, indent=2) + "\n"


def _is_there(root: Path, options: SynthOptions, jobs: list[Job]) -> bool:
    """Whether ``root`` holds this very dataset; UsageError if it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    description = root / DESCRIPTION
    same = description.is_file() and description.read_text("utf-8") == _description(options)
    if same and all((root / job.name).is_file() for job in jobs):
        return True
    raise UsageError(
        f"{root} exists and is not this drawn dataset (same options, all {len(jobs)} images): "
        "name a new or empty folder, or delete this one"
    )


def _result(root: Path, jobs: list[Job], existed: bool) -> SynthResult:
    count = {name: sum(job.folder == name for job in jobs) for name in (TRAIN, QUERY, GALLERY)}
    return SynthResult(root, count[TRAIN], count[QUERY], count[GALLERY], existed)


def synthesise(
    root: Path,
    options: SynthOptions,
    *,
    workers: int | None = None,
    progress: ProgressBar | None = None,
) -> SynthResult:
    """Draws the dataset of ``options`` into ``root``; does nothing if it is there already.

    ``workers`` processes do the drawing (None: one a core); the bytes do not depend on it.
    Raises: UsageError if ``root`` holds something else or ``workers`` is below 1; StorageError
    if it cannot be written, and then nothing is left.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers: at least 1 is needed")
    jobs = plan(options)
    if _is_there(root, options, jobs):
        return _result(root, jobs, existed=True)
    count = min(workers or os.cpu_count() or 1, 1 + len(jobs) // _CHUNK)
    parent = root.absolute().parent
    partial: Path | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{root.name}.partial-", dir=parent))
        partial.chmod(0o755)
        for folder in (TRAIN, QUERY, GALLERY):
            (partial / folder).mkdir()
        tasks = [(str(partial), options, job) for job in jobs]
        written = _written(tasks, count)
        shown = progress(written, total=len(jobs), label="drawing") if progress else written
        for _ in shown:
            pass
        (partial / DESCRIPTION).write_text(_description(options), "utf-8")
        partial.replace(root)
    except OSError as error:
        raise StorageError(
            f"cannot write the dataset to {root}: {error.strerror or error}; free some space or "
            "name another folder"
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return _result(root, jobs, existed=False)
