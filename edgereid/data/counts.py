"""How many images, persons and cameras a dataset has, beside what its authors print."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from edgereid.data.types import DISTRACTOR_PID, JUNK_PID, ImageRecord, ReidDataset


@dataclass(frozen=True, slots=True)
class Counts:
    """One subset: images, persons (distractors and junk are none), cameras, and how many of the
    images show distractors and junk."""

    images: int
    persons: int
    cameras: int
    distractors: int
    junk: int


@dataclass(frozen=True, slots=True)
class Official:
    """What a dataset's paper or page prints: subset -> (images, persons); cameras in all (None:
    not printed); where that is."""

    title: str
    subsets: dict[str, tuple[int, int]]
    cameras: int | None
    source: str


_CUHK03_SOURCE = "Zhong et al., CVPR 2017, and the page of the protocol"


def _msmt17(title: str) -> Official:
    subsets = {"train": (32_621, 1_041), "query": (11_659, 3_060), "gallery": (82_161, 3_060)}
    return Official(title, subsets, 15, "Wei et al., CVPR 2018")


OFFICIAL: dict[str, Official] = {
    # 19,732 = 13,115 of the 750 persons + 2,798 distractors + 3,819 junk
    "market1501": Official(
        "Market-1501",
        {"train": (12_936, 751), "query": (3_368, 750), "gallery": (19_732, 750)},
        6,
        "Zheng et al., ICCV 2015",
    ),
    # 1,110 = 702 of the queries + 408 distractors with numbers of their own
    "dukemtmc": Official(
        "DukeMTMC-reID",
        {"train": (16_522, 702), "query": (2_228, 702), "gallery": (17_661, 1_110)},
        8,
        "Zheng et al., ICCV 2017",
    ),
    "cuhk03-labeled": Official(
        "CUHK03-NP labeled",
        {"train": (7_368, 767), "query": (1_400, 700), "gallery": (5_328, 700)},
        None,
        _CUHK03_SOURCE,
    ),
    "cuhk03-detected": Official(
        "CUHK03-NP detected",
        {"train": (7_365, 767), "query": (1_400, 700), "gallery": (5_332, 700)},
        None,
        _CUHK03_SOURCE,
    ),
    "msmt17-v1": _msmt17("MSMT17 V1"),
    "msmt17-v2": _msmt17("MSMT17 V2"),
}


def official(dataset: ReidDataset) -> Official | None:
    """The printed counts of the dataset's layout; None for a CSV and for drawn data, which has
    Market-1501's layout and says so in a file beside it."""
    from edgereid.data.synth.writer import DESCRIPTION

    drawn = os.path.isfile(dataset.root / DESCRIPTION)
    return None if drawn else OFFICIAL.get(dataset.layout)


def count(records: Iterable[ImageRecord]) -> Counts:
    """The counts of one subset."""
    listed = list(records)
    pids = [record.pid for record in listed]
    return Counts(
        images=len(listed),
        persons=len(set(pids) - {DISTRACTOR_PID, JUNK_PID}),
        cameras=len({record.camid for record in listed}),
        distractors=pids.count(DISTRACTOR_PID),
        junk=pids.count(JUNK_PID),
    )


def count_subsets(dataset: ReidDataset) -> dict[str, Counts]:
    """The counts of train, query and gallery, and of multi_query where the dataset has one."""
    subsets = dataset.subsets().items()
    return {name: count(records) for name, records in subsets if records or name != "multi_query"}


def differences(dataset: ReidDataset) -> tuple[str, ...]:
    """Where the dataset's counts differ from the official ones, a phrase each; none where there
    are no official ones."""
    expected = official(dataset)
    if expected is None:
        return ()
    found = []
    for name, (images, persons) in expected.subsets.items():
        have = count(dataset.subsets()[name])
        if have.images != images:
            found.append(f"{name} has {have.images:,} images, officially {images:,}")
        if have.persons != persons:
            found.append(f"{name} has {have.persons:,} persons, officially {persons:,}")
    cameras = len({r.camid for name in expected.subsets for r in dataset.subsets()[name]})
    if expected.cameras is not None and cameras != expected.cameras:
        found.append(f"{cameras} cameras, officially {expected.cameras}")
    return tuple(found)


def counts_json(dataset: ReidDataset) -> dict[str, object]:
    """Name, layout, folder, counts, the official ones (None: there are none), differences."""
    expected = official(dataset)
    return {
        "name": dataset.name,
        "layout": dataset.layout,
        "root": str(dataset.root),
        "subsets": {
            name: {
                "images": counts.images,
                "persons": counts.persons,
                "cameras": counts.cameras,
                "distractors": counts.distractors,
                "junk": counts.junk,
            }
            for name, counts in count_subsets(dataset).items()
        },
        "official": None
        if expected is None
        else {
            "title": expected.title,
            "source": expected.source,
            "cameras": expected.cameras,
            "subsets": {
                name: {"images": images, "persons": persons}
                for name, (images, persons) in expected.subsets.items()
            },
        },
        "differences": list(differences(dataset)),
    }
