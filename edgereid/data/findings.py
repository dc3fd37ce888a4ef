"""What is wrong with a dataset: of its files, and of its lists of persons and cameras."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgereid.data.check import check_workers, unique_paths
from edgereid.data.inspect_files import Inspected, inspect_file
from edgereid.data.types import SUBSETS, ImageRecord, ReidDataset
from edgereid.images import ahead
from edgereid.progress import progress


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding: its line for a person, and whether it makes the dataset broken."""

    title: str
    broken: bool


KINDS: dict[str, Kind] = {
    "unreadable": Kind("images that cannot be decoded", True),
    "overlap": Kind("persons to train on who are tested on, too", True),
    "contradiction": Kind("files listed with different persons or cameras", True),
    "nothing": Kind("nothing to evaluate", True),
    "listed_twice": Kind("files listed twice", False),
    "same_bytes": Kind("files with the same bytes", False),
    "tiny": Kind("images smaller than 16 pixels a side", False),
    "aspect": Kind("images more than six times as long as wide, or as wide as long", False),
    "flat": Kind("images of one colour", False),
    "mode": Kind("images that are neither RGB nor grey", False),
    "rotated": Kind("images that EXIF says to rotate, which decoding does not", False),
    "one_camera": Kind("persons seen by one camera only", False),
    "no_match": Kind("queries without an image of the person by another camera", False),
    "no_training": Kind("no training images", False),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """``kind``: a key of ``KINDS``; ``subject``: a file below the dataset's folder, or a person;
    ``detail``: what about it."""

    kind: str
    subject: str
    detail: str

    @property
    def text(self) -> str:
        """One line; a detail that names its subject already stands alone."""
        return self.detail if self.subject in self.detail else f"{self.subject}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Report:
    """The findings in the order of ``KINDS``, and how many files were looked at."""

    dataset: ReidDataset
    files: int
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> bool:
        return any(KINDS[finding.kind].broken for finding in self.findings)

    def by_kind(self) -> dict[str, list[Finding]]:
        """The kinds that were found, in the order of ``KINDS``."""
        groups = {kind: [f for f in self.findings if f.kind == kind] for kind in KINDS}
        return {kind: found for kind, found in groups.items() if found}


def check_dataset(dataset: ReidDataset, workers: int = 2, label: str = "checking images") -> Report:
    """Decode every file in ``workers`` threads and look through the lists.

    Raises UsageError as ``find_unreadable`` does; what files hold never raises.
    """
    check_workers(workers)
    paths = unique_paths(dataset)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # what it finds odd is not for the terminal
        inspected = ahead(inspect_file, paths, workers)
        results = list(progress(inspected, label=label, total=len(paths)))
    found = [*_of_files(dataset, results), *_of_lists(dataset)]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return Report(dataset, len(paths), tuple(sorted(found, key=lambda f: order[f.kind])))


def _name(dataset: ReidDataset, path: Path) -> str:
    """The path below the dataset's folder, or in full where it lies elsewhere."""
    return str(path.relative_to(dataset.root) if path.is_relative_to(dataset.root) else path)


def _of_files(dataset: ReidDataset, results: Sequence[Inspected]) -> Iterator[Finding]:
    persons = {r.path: r.pid for records in dataset.subsets().values() for r in records}
    first: dict[bytes, Path] = {}
    for result in results:
        name = _name(dataset, result.path)
        if result.reason is not None:
            yield Finding("unreadable", name, result.reason)
        yield from (Finding(kind, name, detail) for kind, detail in result.traits)
        if result.digest is None:
            continue
        other = first.setdefault(result.digest, result.path)
        if other != result.path:
            same = persons[other] == persons[result.path]
            suffix = "" if same else ", of another person"
            yield Finding("same_bytes", name, f"as {_name(dataset, other)}{suffix}")


def _of_lists(dataset: ReidDataset) -> Iterator[Finding]:
    yield from _listed_twice(dataset)
    yield from _overlap(dataset)
    yield from _one_camera("training", dataset.train, {r.pid for r in dataset.train})
    persons = {r.pid for r in dataset.query}
    yield from _one_camera("test", (*dataset.query, *dataset.gallery), persons)
    yield from _matches(dataset)
    if not dataset.train:
        yield Finding("no_training", "train", "empty: this dataset can only be evaluated on")


def _listed_twice(dataset: ReidDataset) -> Iterator[Finding]:
    places: dict[Path, list[tuple[str, ImageRecord]]] = defaultdict(list)
    for subset, records in dataset.subsets().items():
        for record in records:
            places[record.path].append((subset, record))
    for path, listed in places.items():
        if len(listed) == 1:
            continue
        subsets = " and ".join(subset for subset, _ in listed)
        if len({(record.pid, record.camid) for _, record in listed}) > 1:
            pairs = " and ".join(f"person {r.pid} camera {r.camid}" for _, r in listed)
            yield Finding("contradiction", _name(dataset, path), f"{pairs} ({subsets})")
        else:
            yield Finding("listed_twice", _name(dataset, path), subsets)


def _overlap(dataset: ReidDataset) -> Iterator[Finding]:
    images = {name: _by_person(records) for name, records in dataset.subsets().items()}
    shared = images["train"].keys() & (images["query"].keys() | images["gallery"].keys())
    for pid in sorted(shared):
        counts = ", ".join(
            f"{len(images[name].get(pid, ()))} {name}" for name in SUBSETS if images[name]
        )
        yield Finding("overlap", f"person {pid}", f"{counts} images")


def _by_person(records: Iterable[ImageRecord]) -> dict[int, list[ImageRecord]]:
    """The images of every person; distractors and junk are nobody."""
    found: dict[int, list[ImageRecord]] = defaultdict(list)
    for record in records:
        if record.pid > 0:
            found[record.pid].append(record)
    return found


def _one_camera(what: str, records: Sequence[ImageRecord], persons: set[int]) -> Iterator[Finding]:
    for pid, images in sorted(_by_person(records).items()):
        cameras = {image.camid for image in images}
        if pid in persons and len(cameras) == 1:
            detail = f"{len(images)} {what} images, camera {min(cameras)} only"
            yield Finding("one_camera", f"person {pid}", detail)


def _matches(dataset: ReidDataset) -> Iterator[Finding]:
    """Queries that evaluation drops, and whether any is left."""
    cameras: dict[int, set[int]] = defaultdict(set)
    for record in dataset.gallery:
        cameras[record.pid].add(record.camid)
    dropped = [r for r in dataset.query if not cameras.get(r.pid, set()) - {r.camid}]
    for record in dropped:
        detail = f"person {record.pid}, camera {record.camid}"
        yield Finding("no_match", _name(dataset, record.path), detail)
    if len(dropped) == len(dataset.query):
        detail = f"{len(dataset.query):,} queries, {len(dataset.gallery):,} gallery images"
        yield Finding("nothing", "query", f"{detail}: no query has a match by another camera")
