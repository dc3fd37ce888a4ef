"""What a re-identification dataset is: labelled images in three subsets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Person id of a detection that is nobody of interest; it counts as a wrong match when retrieved.
DISTRACTOR_PID = 0
#: Person id of a detection too poor to judge; evaluation drops it from the ranking.
JUNK_PID = -1
#: The layouts that are read; ``edgereid.data.layouts``, which is heavier, has a reader for each.
LAYOUT_NAMES = (
    "market1501",
    "dukemtmc",
    "cuhk03-labeled",
    "cuhk03-detected",
    "msmt17-v1",
    "msmt17-v2",
    "csv",
)
#: The subsets of a ``ReidDataset``.
SUBSETS = ("train", "query", "gallery", "multi_query")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file, who is on it (``pid``) and which camera took it (``camid``)."""

    path: Path
    pid: int
    camid: int


@dataclass(frozen=True, slots=True)
class ReidDataset:
    """Training images, and the queries and gallery to be ranked; the identities of train and
    query are disjoint. Numbers stand as the dataset's own file names have them.

    ``multi_query``: more images of the queries' persons, from which a multi-query protocol pools
    one feature a person and camera (Market-1501's ``gt_bbox``); empty where a dataset has none.
    ``layout``: the reader's name in ``edgereid.data.layouts``.
    """

    name: str
    root: Path
    train: tuple[ImageRecord, ...]
    query: tuple[ImageRecord, ...]
    gallery: tuple[ImageRecord, ...]
    multi_query: tuple[ImageRecord, ...] = ()
    layout: str = "market1501"

    def subsets(self) -> dict[str, tuple[ImageRecord, ...]]:
        """Every subset by name, in the order train, query, gallery, multi_query."""
        return {name: getattr(self, name) for name in SUBSETS}
