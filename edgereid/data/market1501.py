"""Market-1501 [Zheng et al., ICCV 2015], and the one entry to load a dataset from a folder.

Layout: ``bounding_box_train/``, ``query/`` and ``bounding_box_test/`` (the gallery) hold files
named ``0002_c1s1_000451_03.jpg``: person 2, camera 1, sequence 1, frame 451, box 3. Person 0 are
distractors; person -1 are junk boxes, which evaluation ignores.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import InputError

_TRAIN, _QUERY, _GALLERY = "bounding_box_train", "query", "bounding_box_test"
_SUBSETS = (_TRAIN, _QUERY, _GALLERY)
#: The folder inside the archive as it is published.
_ARCHIVE = "Market-1501-v15.09.15"
_NAME = re.compile(r"(-1|\d+)_c(\d+)s(\d+)_(\d+)_(\d+)(\.jpg)+", re.ASCII)


def _root_of(root: Path) -> Path:
    """The folder that holds the three subsets."""
    if not root.exists():
        raise InputError(
            f"{root}: no such folder; name the folder that holds {', '.join(_SUBSETS)}"
        )
    if not root.is_dir():
        raise InputError(f"{root} is a file: name the folder that holds {', '.join(_SUBSETS)}")
    inner = root / _ARCHIVE
    return inner if inner.is_dir() else root


def _record(path: Path) -> ImageRecord:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise InputError(
            f"{path}: not a Market-1501 file name; expected e.g. 0002_c1s1_000451_03.jpg "
            "(person, camera and sequence, frame, box); rename or remove the file"
        )
    return ImageRecord(path=path, pid=int(match[1]), camid=int(match[2]))


def _subset(folder: Path) -> tuple[ImageRecord, ...]:
    """The images of one folder, sorted by name; files that are no .jpg are passed over."""
    paths = sorted(path for path in folder.iterdir() if path.name.endswith(".jpg"))
    if not paths:
        raise InputError(
            f"{folder} holds no .jpg image; a Market-1501 dataset has some in each of "
            f"{', '.join(_SUBSETS)}: unpack the archive again"
        )
    return tuple(_record(path) for path in paths)


def load_market1501(root: Path) -> ReidDataset:
    """The dataset in ``root``, or in the published archive's folder inside it.

    Persons and cameras keep the numbers of the file names (cameras from 1, junk -1).
    Raises: InputError if the folder is missing, empty, not in this layout, or holds a .jpg whose
    name does not say person and camera.
    """
    base = _root_of(root)
    missing = [name for name in _SUBSETS if not (base / name).is_dir()]
    if missing:
        raise InputError(
            f"{base} is not a Market-1501 dataset: {', '.join(missing)} not found; name the "
            f"folder that holds {', '.join(_SUBSETS)}"
        )
    train, query, gallery = (_subset(base / name) for name in _SUBSETS)
    return ReidDataset("market1501", base, train, query, gallery)


def _is_market1501(root: Path) -> bool:
    return any((base / name).is_dir() for base in (root, root / _ARCHIVE) for name in _SUBSETS)


Loader = Callable[[Path], ReidDataset]
#: (how to recognise a layout, how to load it); the first that fits is taken.
_LAYOUTS: tuple[tuple[Callable[[Path], bool], Loader], ...] = ((_is_market1501, load_market1501),)


def load_dataset(root: Path) -> ReidDataset:
    """The dataset in a folder of any known layout.

    Raises: InputError if the folder is missing, of no known layout, or broken.
    """
    for fits, load in _LAYOUTS:
        if fits(root):
            return load(root)
    _root_of(root)
    what = "is empty" if not any(root.iterdir()) else "is in no known dataset layout"
    raise InputError(
        f"{root} {what}; expected a Market-1501 folder with {', '.join(_SUBSETS)}: name another "
        "folder, or draw a dataset with 'edgereid synth DIR'"
    )
