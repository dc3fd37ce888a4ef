"""Every image of a dataset opened once: what can be read, and a dataset without the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from edgereid.data.listing import read_file
from edgereid.data.types import ReidDataset
from edgereid.errors import InputError, UsageError
from edgereid.images import ahead, decode_bytes
from edgereid.progress import progress

#: A crop has some kilobytes; what is larger is not read into memory.
MAX_FILE_BYTES = 256 * 2**20
#: Threads that decode: more than any machine has processors for, fewer than a system refuses.
MAX_WORKERS = 256


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image file that cannot be used, and why, in one line."""

    path: Path
    reason: str


def read_image_file(path: Path) -> bytes:
    """The bytes of a regular file, neither empty nor larger than ``MAX_FILE_BYTES``; raises
    InputError otherwise."""
    data = read_file(path, MAX_FILE_BYTES, "an image")
    if not data:
        raise InputError(f"{path} is empty (0 bytes): replace or remove it.")
    return data


def check_workers(workers: int) -> None:
    """Raises UsageError unless so many threads can decode."""
    if not 1 <= workers <= MAX_WORKERS:
        raise UsageError(f"{workers} workers: from 1 to {MAX_WORKERS} are allowed.")


def find_unreadable(
    dataset: ReidDataset, workers: int = 2, label: str = "checking images"
) -> tuple[Unreadable, ...]:
    """The files of all subsets that cannot be decoded, in the dataset's order, each once.

    ``workers`` threads decode; ``label`` names the bar on a terminal. Raises UsageError for
    ``workers`` outside 1..``MAX_WORKERS``.
    """
    check_workers(workers)
    paths = unique_paths(dataset)
    results = progress(ahead(_unreadable, paths, workers), label=label, total=len(paths))
    return tuple(result for result in results if result is not None)


def _unreadable(path: Path) -> Unreadable | None:
    try:
        decode_bytes(read_image_file(path), path)
    except InputError as error:
        return Unreadable(path, str(error))
    return None


def unique_paths(dataset: ReidDataset) -> list[Path]:
    """The dataset's files in the order of its subsets, each once."""
    return list(dict.fromkeys(r.path for records in dataset.subsets().values() for r in records))


def without(dataset: ReidDataset, paths: Iterable[Path]) -> ReidDataset:
    """The dataset without the images of ``paths``, in all subsets; the order is kept."""
    dropped: Collection[Path] = frozenset(paths)
    kept = {
        name: tuple(r for r in records if r.path not in dropped)
        for name, records in dataset.subsets().items()
    }
    return replace(
        dataset,
        train=kept["train"],
        query=kept["query"],
        gallery=kept["gallery"],
        multi_query=kept["multi_query"],
    )
