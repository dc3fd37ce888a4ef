"""What accuracy is judged on: images of the training split, or drawn ones; never a test set.

From a dataset: a query and a gallery are made of training images that calibration did not see. The
network was trained on these people, so they are easier for it than strangers; ``words`` says so.
The built-in images are drawn, of people nobody saw before.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgereid.calibration.images import choose_images
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import InputError
from edgereid.progress import note

#: Images on which embeddings are compared: enough for an error to a few per cent.
PROBE = 64
#: Without labels, crops whose best match among each other is looked at.
CROPS = 256
#: Built-in people are drawn with seeds of their own, neither the test set's nor calibration's.
_FIRST_SEED = 2_000_003


@dataclass(frozen=True, slots=True)
class Size:
    """How much is looked at: people, images of others in the gallery."""

    people: int = 300  # fewer cannot show that 0.3 points are kept
    queries_a_person: int = 3
    gallery_a_person: int = 4
    others: int = 300


SEARCH, SENSITIVITY = Size(), Size(people=60, queries_a_person=2, gallery_a_person=4, others=120)


@dataclass(frozen=True, slots=True)
class Evidence:
    """``probe``: images for embeddings; ``dataset``: query and gallery, None without labels;
    ``people``: the identities of the queries; ``words``: all of it in a sentence."""

    probe: tuple[Path, ...]
    dataset: ReidDataset | None
    people: tuple[int, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where calibration had its images from, as its options say; ``root`` None: drawn ones.
    ``calibration_seed``: by which they were chosen, None: by ``seed`` as well."""

    root: Path | None
    layout: str | None = None
    calibrated: int = 0  # images
    seed: int = 0
    allow_test: bool = False
    calibration_seed: int | None = None

    @property
    def chosen_by(self) -> int:
        """The seed of the choice of images that calibration saw."""
        return self.seed if self.calibration_seed is None else self.calibration_seed


@contextlib.contextmanager
def gather(source: Source, size: Size = SEARCH) -> Iterator[Evidence]:
    """The evidence; drawn images exist while the context is open.

    Raises InputError when there is no image.
    """
    from edgereid.data.layouts import fitting, open_dataset

    if source.root is None:
        with _drawn(source.seed, size) as evidence:
            yield evidence
    elif source.layout is not None or source.root.is_file() or fitting(source.root):
        dataset = open_dataset(source.root, source.layout)
        chosen = choose_images(
            source.root, max(1, source.calibrated), source.chosen_by, layout=source.layout
        )
        calibrated = set(chosen.paths) if source.calibrated else set()
        yield from_training(dataset, calibrated, source.seed, size)
    else:
        yield _unlabelled(source)


@contextlib.contextmanager
def _drawn(seed: int, size: Size) -> Iterator[Evidence]:
    from edgereid.data.layouts import open_dataset
    from edgereid.data.synth import SynthOptions, synthesise

    drawing = SynthOptions(
        train_ids=1,
        test_ids=size.people,
        images_per_camera=1,
        distractors=size.others // 2,
        junk=0,
        seed=_FIRST_SEED + seed,
    )
    note(f"drawing images of {size.people} other people to judge accuracy on")
    with tempfile.TemporaryDirectory(prefix="edgereid-search-") as folder:
        root = Path(folder) / "data"
        synthesise(root, drawing, workers=1)
        dataset = open_dataset(root, None)
        yield _evidence(dataset, "drawn people whom neither training nor calibration saw", seed)


def from_training(
    dataset: ReidDataset, calibrated: Collection[Path], seed: int, size: Size = SEARCH
) -> Evidence:
    """Query and gallery made of the images of a dataset's training split that are not in
    ``calibrated``.

    Raises InputError when fewer than two people are seen by two cameras there.
    """
    records = [r for r in dataset.train if r.pid > 0 and r.path not in calibrated]
    cameras: dict[int, set[int]] = {}
    for record in records:
        cameras.setdefault(record.pid, set()).add(record.camid)
    able = sorted(pid for pid, seen in cameras.items() if len(seen) > 1)
    if len(able) < 2:
        raise InputError(
            f"the training split of {dataset.root} shows {len(able)} people in two cameras, beyond "
            f"the {len(calibrated)} images calibrated on: mAP needs two at least; calibrate on "
            "fewer images, or give a plain folder of crops to go without mAP."
        )
    rng = np.random.default_rng([seed, 1])
    people = sorted(able[i] for i in rng.permutation(len(able))[: size.people])
    query, gallery = _split(records, people, rng, size)
    made = ReidDataset(dataset.name, dataset.root, (), query, gallery, layout=dataset.layout)
    words = (
        f"people of the training split of {dataset.name}, without the images calibrated on (the "
        "network was trained on these people, so they are easier than strangers)"
    )
    return _evidence(made, words, seed)


def _split(
    records: Sequence[ImageRecord], people: Sequence[int], rng: np.random.Generator, size: Size
) -> tuple[tuple[ImageRecord, ...], tuple[ImageRecord, ...]]:
    """A few queries of each person, in different cameras; the gallery holds others of them and
    images of other people."""
    ordered = sorted(records, key=lambda r: (r.pid, r.camid, r.path.name))
    shuffled = [ordered[i] for i in rng.permutation(len(ordered))]
    images: dict[int, list[ImageRecord]] = {pid: [] for pid in people}
    others: list[ImageRecord] = []
    for record in shuffled:
        images.get(record.pid, others).append(record)
    query, gallery = [], []
    for pid in people:
        first = list({r.camid: r for r in reversed(images[pid])}.values())
        asked = sorted(first, key=lambda r: r.camid)[: size.queries_a_person]
        query += asked
        rest = [r for r in images[pid] if r not in asked]
        # The cameras in turns, so that every query has a match in another one.
        gallery += _spread(rest or asked, size.gallery_a_person)
    return tuple(query), (*gallery, *others[: size.others])


def _spread(records: Sequence[ImageRecord], count: int) -> list[ImageRecord]:
    """At most ``count``, the cameras in turns."""
    seen: dict[int, int] = {}
    turns = []
    for record in records:
        seen[record.camid] = seen.get(record.camid, 0) + 1
        turns.append((seen[record.camid], record))
    return [record for _, record in sorted(turns, key=lambda t: t[0])][:count]


def _evidence(dataset: ReidDataset, words: str, seed: int) -> Evidence:
    files = [r.path for r in (*dataset.query, *dataset.gallery)]
    order = np.random.default_rng([seed, 2]).permutation(len(files))
    people = tuple(sorted({r.pid for r in dataset.query}))
    count = f"{len(dataset.query)} queries of {len(people)}"
    return Evidence(
        tuple(files[i] for i in order[:PROBE]),
        dataset,
        people,
        f"mAP of {count} {words} in a gallery of {len(dataset.gallery)}",
    )


def _unlabelled(source: Source) -> Evidence:
    """Crops of a folder, those that calibration did not see first."""
    assert source.root is not None
    count = source.calibrated + CROPS
    chosen = choose_images(source.root, count, source.chosen_by, allow_test=source.allow_test)
    fresh = chosen.paths[source.calibrated :]
    crops = fresh if len(fresh) >= PROBE else chosen.paths[-CROPS:]
    seen = "which calibration did not see" if len(fresh) >= PROBE else "some seen by calibration"
    return Evidence(
        tuple(crops),
        None,
        (),
        f"mAP was not measured, as {source.root.name} has no labels: judged by the embeddings of "
        f"{len(crops)} crops, {seen}",
    )
