"""Datasets whose file names say person and camera, one folder a subset.

``bounding_box_train/``, ``query/`` and ``bounding_box_test/`` (the gallery), as Market-1501 and
DukeMTMC-reID have them; a family differs in the names alone.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edgereid.data.listing import check_folder, entries
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import InputError

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
SUBSETS = (TRAIN, QUERY, GALLERY)


@dataclass(frozen=True, slots=True)
class Family:
    """How a family names its files. ``pattern``: group 1 is the person, group 2 the camera;
    ``archive``: the folder inside the archive as it is published; ``multi_query``: the folder of
    hand-drawn boxes, which may be missing."""

    layout: str
    title: str
    archive: str
    pattern: re.Pattern[str]
    example: str
    meaning: str
    multi_query: str | None = None

    def base(self, root: Path) -> Path:
        """The folder that holds the subsets: the archive's own, or ``root``."""
        inner = root / self.archive
        return inner if os.path.isdir(inner) else root

    def fits(self, root: Path) -> bool:
        """Whether ``root`` has one of the family's folders with a file named in its way."""
        base = self.base(root)
        folders = [base / name for name in (TRAIN, GALLERY) if os.path.isdir(base / name)]
        return any(self.pattern.fullmatch(name) for folder in folders for name in entries(folder))

    def load(self, root: Path) -> ReidDataset:
        """The dataset in ``root``, or in the published archive's folder inside it.

        Persons and cameras keep the numbers of the file names.
        Raises: InputError if the folder is missing, empty, not in this layout, or holds a .jpg
        whose name does not say person and camera.
        """
        check_folder(root, ", ".join(SUBSETS))
        base = self.base(root)
        missing = [name for name in SUBSETS if not os.path.isdir(base / name)]
        if missing:
            raise InputError(
                f"{base} is not a {self.title} dataset: {', '.join(missing)} not found; name the "
                f"folder that holds {', '.join(SUBSETS)}"
            )
        train, query, gallery = (self._subset(base / name) for name in SUBSETS)
        multi_query = self._multi_query(base, {record.pid for record in query})
        return ReidDataset(self.layout, base, train, query, gallery, multi_query, self.layout)

    def _subset(self, folder: Path) -> tuple[ImageRecord, ...]:
        """The images of one folder, sorted by name; files that are no .jpg are passed over."""
        names = _jpegs(folder)
        if not names:
            raise InputError(
                f"{folder} holds no .jpg image; a {self.title} dataset has some in each of "
                f"{', '.join(SUBSETS)}: unpack the archive again"
            )
        return tuple(self._record(folder / name) for name in names)

    def _multi_query(self, base: Path, persons: set[int]) -> tuple[ImageRecord, ...]:
        """The hand-drawn boxes of the queries' persons; none where the copy has no such folder."""
        if self.multi_query is None or not os.path.isdir(base / self.multi_query):
            return ()
        folder = base / self.multi_query
        records = (self._record(folder / name) for name in _jpegs(folder))
        return tuple(record for record in records if record.pid in persons)

    def _record(self, path: Path) -> ImageRecord:
        match = self.pattern.fullmatch(path.name)
        if match is None:
            raise InputError(
                f"{path}: not a {self.title} file name; expected e.g. {self.example} "
                f"({self.meaning}); rename or remove the file"
            )
        return ImageRecord(path=path, pid=int(match[1]), camid=int(match[2]))


def _jpegs(folder: Path) -> list[str]:
    return [name for name in entries(folder) if name.endswith(".jpg")]
