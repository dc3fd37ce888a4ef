"""DukeMTMC-reID [Zheng et al., ICCV 2017; Ristani et al., ECCV 2016 workshops].

Layout as Market-1501, files named ``0001_c2_f0046182.jpg``: person 1, camera 2, frame 46182. The
gallery holds 408 distractor persons under numbers of their own. Its authors withdrew the dataset:
this reads a copy that a user holds already, and nothing here downloads one.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgereid.data.folders import Family
from edgereid.data.types import ReidDataset

DUKEMTMC = Family(
    layout="dukemtmc",
    title="DukeMTMC-reID",
    archive="DukeMTMC-reID",
    pattern=re.compile(r"(\d{1,9})_c(\d{1,9})_f(\d+)\.jpg", re.ASCII),
    example="0001_c2_f0046182.jpg",
    meaning="person, camera, frame",
)


def load_dukemtmc(root: Path) -> ReidDataset:
    """The dataset in ``root``, or in the folder ``DukeMTMC-reID`` inside it.

    Persons and cameras keep the numbers of the file names (both from 1).
    Raises: InputError if the folder is missing, empty, not in this layout, or holds a .jpg whose
    name does not say person and camera.
    """
    return DUKEMTMC.load(root)
