"""What a re-identification dataset is: labelled images in three subsets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Person id of a detection that is nobody of interest; it counts as a wrong match when retrieved.
DISTRACTOR_PID = 0
#: Person id of a detection too poor to judge; evaluation drops it from the ranking.
JUNK_PID = -1


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file, who is on it (``pid``) and which camera took it (``camid``)."""

    path: Path
    pid: int
    camid: int


@dataclass(frozen=True, slots=True)
class ReidDataset:
    """Training images, and the queries and gallery to be ranked; the identities of train and
    query are disjoint. Numbers stand as the dataset's own file names have them."""

    name: str
    root: Path
    train: tuple[ImageRecord, ...]
    query: tuple[ImageRecord, ...]
    gallery: tuple[ImageRecord, ...]
