"""MSMT17 [Wei et al., CVPR 2018], versions 1 and 2 (faces masked).

Layout: ``list_train.txt``, ``list_val.txt``, ``list_query.txt`` and ``list_gallery.txt`` hold lines
such as ``0000/0000_000_01_0303morning_0008_0.jpg 0``: the path below the image folder, whose third
field is the camera (1 to 15), and the person. Version 1 has the image folders ``train`` and
``test``, version 2 ``mask_train_v2`` and ``mask_test_v2``. Training uses train and val together
(32,621 images of 1,041 persons), as the paper and most published results do.

The lists count the persons of train and of test from 0 each. Here a training person is its number
+ 1 and a test person its number + 10,001: different people differ, and nobody is person 0, which
stands for distractors.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edgereid.data.listing import check_folder, excerpt, inside, read_list
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import InputError

LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
#: Added to a person's number in the lists of train and of test.
TRAIN_FROM, TEST_FROM = 1, 10_001
_LINE = re.compile(r"(\S.*)[ \t]+(\d{1,4})", re.ASCII)
_CAMERA = re.compile(r"[^_/]+_[^_/]+_(\d{1,3})_[^/]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """One release: its name, the folder of its archive, its image folders."""

    layout: str
    archive: str
    train: str
    test: str

    def base(self, root: Path) -> Path | None:
        """The folder with the lists and this version's image folders: ``root``, the archive's
        folder in it, or that once more inside; None where there is none."""
        inner = root / self.archive
        for base in (root, inner, inner / self.archive):
            has_list = any(os.path.isfile(base / name) for name in LISTS)
            has_images = any(os.path.isdir(base / name) for name in (self.train, self.test))
            if has_list and has_images:
                return base
        return None

    def fits(self, root: Path) -> bool:
        return self.base(root) is not None


V1 = Version("msmt17-v1", "MSMT17_V1", "train", "test")
V2 = Version("msmt17-v2", "MSMT17_V2", "mask_train_v2", "mask_test_v2")


def load_msmt17(root: Path, version: Version) -> ReidDataset:
    """The dataset in ``root``, or in the published archive's folder inside it.

    Cameras keep the numbers of the file names; persons are numbered as the module says.
    Raises: InputError if a list or image folder is missing, a list is no UTF-8 text, or a line
    does not name a file below the image folder and a person.
    """
    holds = f"{', '.join(LISTS)}, {version.train} and {version.test}"
    check_folder(root, holds)
    base = version.base(root) or root
    missing = [name for name in LISTS if not os.path.isfile(base / name)]
    missing += [name for name in (version.train, version.test) if not os.path.isdir(base / name)]
    if missing:
        raise InputError(
            f"{base} is not an MSMT17 dataset ({version.layout}): {', '.join(missing)} not found; "
            f"name the folder that holds {holds}"
        )
    train, val = (_records(base, name, version.train, TRAIN_FROM) for name in LISTS[:2])
    query, gallery = (_records(base, name, version.test, TEST_FROM) for name in LISTS[2:])
    return ReidDataset(version.layout, base, train + val, query, gallery, layout=version.layout)


def _records(base: Path, name: str, folder: str, first: int) -> tuple[ImageRecord, ...]:
    """The records of one list, in its order; empty lines are passed over."""
    path = base / name
    records = tuple(
        _record(base / folder, line.strip(), f"{path}, line {number}", first)
        for number, line in enumerate(read_list(path), 1)
        if line.strip()
    )
    if not records:
        raise InputError(f"{path} names no image: unpack the archive again")
    return records


def _record(folder: Path, line: str, where: str, first: int) -> ImageRecord:
    match = _LINE.fullmatch(line)
    camera = match and _CAMERA.fullmatch(match[1].replace("\\", "/").rsplit("/", 1)[-1])
    if match is None or camera is None:
        raise InputError(
            f"{where}: {excerpt(line)} is no entry of MSMT17; expected e.g. "
            "'0000/0000_000_01_0303morning_0008_0.jpg 0' (path with the camera third, person)"
        )
    path = inside(folder, match[1], where)
    return ImageRecord(path, int(match[2]) + first, int(camera[1]))
