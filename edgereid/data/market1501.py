"""Market-1501 [Zheng et al., ICCV 2015], and the one entry to load a dataset of this layout.

Layout: ``bounding_box_train/``, ``query/`` and ``bounding_box_test/`` (the gallery) hold files
named ``0002_c1s1_000451_03.jpg``: person 2, camera 1, sequence 1, frame 451, box 3. Person 0 are
distractors; person -1 are junk boxes, which evaluation ignores. ``gt_bbox/`` (hand-drawn boxes of
all persons) serves the multi-query protocol; it may be missing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from edgereid.data.folders import SUBSETS, Family
from edgereid.data.listing import check_folder
from edgereid.data.types import ReidDataset
from edgereid.errors import InputError

MARKET1501 = Family(
    layout="market1501",
    title="Market-1501",
    archive="Market-1501-v15.09.15",
    pattern=re.compile(r"(-1|\d{1,9})_c(\d{1,9})s(\d+)_(\d+)_(\d+)(\.jpg)+", re.ASCII),
    example="0002_c1s1_000451_03.jpg",
    meaning="person, camera and sequence, frame, box",
    multi_query="gt_bbox",
)


def load_market1501(root: Path) -> ReidDataset:
    """The dataset in ``root``, or in the published archive's folder inside it.

    Persons and cameras keep the numbers of the file names (cameras from 1, junk -1).
    ``multi_query`` holds the boxes of ``gt_bbox/`` that show the queries' persons.
    Raises: InputError if the folder is missing, empty, not in this layout, or holds a .jpg whose
    name does not say person and camera.
    """
    return MARKET1501.load(root)


def load_dataset(root: Path) -> ReidDataset:
    """The dataset in a folder of Market-1501's layout; ``layouts.open_dataset`` opens any layout.

    Raises: InputError if the folder is missing, of another layout, or broken.
    """
    check_folder(root, ", ".join(SUBSETS))
    base = MARKET1501.base(root)
    if any(os.path.isdir(base / name) for name in SUBSETS):
        return MARKET1501.load(root)
    what = "is empty" if not any(root.iterdir()) else "is in no known dataset layout"
    raise InputError(
        f"{root} {what}; expected a Market-1501 folder with {', '.join(SUBSETS)}: name another "
        "folder, or draw a dataset with 'edgereid synth DIR'"
    )
