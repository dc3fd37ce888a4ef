"""Which images a network is calibrated on: a balanced sample of the training split.

Query and gallery images are refused: ranges fitted to the test set would flatter the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgereid.data.types import ImageRecord
from edgereid.errors import InputError
from edgereid.files import sha256

TEST_FOLDERS = ("query", "gallery", "bounding_box_test", "probe", "test")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True, slots=True)
class CalibrationImages:
    """The chosen files, and in words where they come from."""

    paths: tuple[Path, ...]
    source: str


def choose_images(
    root: Path,
    count: int,
    seed: int = 0,
    *,
    allow_test: bool = False,
    layout: str | None = None,
) -> CalibrationImages:
    """At most ``count`` images of a dataset's training split, or of a plain folder of crops, which
    is what is in no known ``layout`` (None: recognised).

    From a dataset they are spread evenly over identities, then over cameras. The same seed and
    files give the same choice. Raises InputError when there is no image, or when the folder is a
    query or gallery folder and ``allow_test`` is false.
    """
    if count < 1:
        raise InputError(f"{count} calibration images: at least 1 is needed.")
    if not root.is_dir() and not root.is_file():
        raise InputError(f"{root} is no folder: give a dataset or a folder of training crops.")
    from edgereid.data.layouts import fitting, open_dataset

    if layout is not None or root.is_file() or fitting(root):
        dataset = open_dataset(root, layout)
        paths = balanced(dataset.train, count, seed)
        return CalibrationImages(paths, f"training split of {dataset.name}")
    found = _folder_images(root, allow_test)
    order = np.random.default_rng(seed).permutation(len(found))[:count]
    return CalibrationImages(tuple(found[i] for i in order), f"folder {root.name}")


def _folder_images(root: Path, allow_test: bool) -> list[Path]:
    """The images below a folder, sorted by their path."""
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not found:
        raise InputError(
            f"{root} holds no image ({', '.join(_SUFFIXES)}): nothing to calibrate on."
        )
    if not allow_test:
        parts = {root.resolve().name.lower()}
        parts |= {part.lower() for p in found for part in p.relative_to(root).parts[:-1]}
        for name in TEST_FOLDERS:
            if name in parts:
                raise InputError(
                    f"{root} is or holds a folder {name!r}: calibration takes training images only "
                    "(--allow-test-images insists)."
                )
    return found


def balanced(records: Sequence[ImageRecord], count: int, seed: int) -> tuple[Path, ...]:
    """``count`` images (or all): every identity before any a second time, the cameras used least
    first."""
    rng = np.random.default_rng(seed)
    ordered = sorted(records, key=lambda r: r.path.name)
    waiting: dict[int, dict[int, list[Path]]] = {}
    for i in rng.permutation(len(ordered)):
        r = ordered[i]
        waiting.setdefault(r.pid, {}).setdefault(r.camid, []).append(r.path)
    used = dict.fromkeys(sorted({r.camid for r in ordered}), 0)
    chosen: list[Path] = []
    while waiting and len(chosen) < count:
        for pid in list(waiting)[: count - len(chosen)]:
            cameras = waiting[pid]
            camera = min(cameras, key=lambda c: (used[c], c))
            used[camera] += 1
            chosen.append(cameras[camera].pop())
            if not cameras[camera]:
                del cameras[camera]
            if not cameras:
                del waiting[pid]
    return tuple(chosen)


def digest(paths: Sequence[Path]) -> str:
    """What the files hold, whatever their names and order: SHA-256 of their sorted SHA-256."""
    return hashlib.sha256("".join(sorted(sha256(p) for p in paths)).encode()).hexdigest()
