"""Miniature copies of the official layouts, made of real image and MATLAB files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def noise(seed: int, height: int = 48, width: int = 24) -> Pixels:
    """An image unlike any other, (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def draw(path: Path, seed: int = 0, height: int = 48, width: int = 24, **save: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, height, width)).save(path, **save)
    return path


@pytest.fixture
def drawn() -> Callable[..., Path]:
    """``drawn(path, seed, height, width)`` writes a noise image."""
    return draw


MARKET = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c2s1_000451_03.jpg",
    "bounding_box_test/-1_c2s1_000401_03.jpg",
    "bounding_box_test/0000_c5s1_000151_01.jpg",
    "bounding_box_test/0001_c6s1_001051_00.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "gt_bbox/0001_c1s1_001051_00.jpg",
    "gt_bbox/0001_c1s1_001076_00.jpg",
    "gt_bbox/0002_c1s1_000451_00.jpg",
)
DUKE = (
    "bounding_box_train/0005_c1_f0052360.jpg",
    "bounding_box_train/0005_c4_f0052360.jpg",
    "query/0001_c2_f0046182.jpg",
    "bounding_box_test/0001_c1_f0044158.jpg",
    "bounding_box_test/7139_c2_f0157871.jpg",
)
MSMT17_LISTS = {
    "list_train.txt": (
        "0000/0000_000_01_0303morning_0008_0.jpg 0\n0001/0001_003_15_0303noon_1_0_ex.jpg 1\n"
    ),
    "list_val.txt": "0000/0000_001_02_0303morning_0008_1.jpg 0\n",
    "list_query.txt": "0000/0000_000_03_0303morning_0010_0.jpg 0\n",
    "list_gallery.txt": (
        "0000/0000_001_04_0303morning_0010_1.jpg 0\n0017/0017_000_04_0303morning_0010_1.jpg 17\n"
    ),
}
MSMT17_FOLDERS = {"msmt17-v1": ("train", "test"), "msmt17-v2": ("mask_train_v2", "mask_test_v2")}


def lay_out(root: Path, names: tuple[str, ...]) -> Path:
    for seed, name in enumerate(names):
        draw(root / name, seed)
    return root


def lay_out_msmt17(root: Path, layout: str = "msmt17-v1") -> Path:
    train, test = MSMT17_FOLDERS[layout]
    root.mkdir(parents=True, exist_ok=True)
    seed = 0
    for name, text in MSMT17_LISTS.items():
        (root / name).write_text(text)
        folder = train if name in ("list_train.txt", "list_val.txt") else test
        for line in text.splitlines():
            draw(root / folder / line.split()[0], seed := seed + 1)
    return root


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "market", MARKET)


@pytest.fixture
def duke(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "duke", DUKE)


@pytest.fixture
def msmt17() -> Callable[[Path, str], Path]:
    """``msmt17(root, layout)`` writes a copy of that version."""
    return lay_out_msmt17


@dataclass
class Cuhk03:
    """A release: for each kind, the pixels of every image name, and the split's lists."""

    root: Path
    pixels: dict[str, dict[str, Pixels]] = field(default_factory=dict)
    #: Persons of pair 1 and of pair 2; the first two of pair 1 are trained on.
    persons: tuple[int, int] = (3, 2)

    @property
    def release(self) -> Path:
        return self.root / "cuhk-03.mat"

    def split(self, kind: str) -> Path:
        return self.root / f"cuhk03_new_protocol_config_{kind}.mat"

    def names(self, pair: int, person: int) -> list[str]:
        """Two images by the first camera and one by the second."""
        return [f"{pair}_{person:03d}_{1 + (p > 5)}_{p:02d}.png" for p in (1, 2, 6)]

    def everybody(self) -> list[tuple[int, int]]:
        return [(1 + i, p) for i, many in enumerate(self.persons) for p in range(1, many + 1)]

    def lists(self) -> dict[str, list[str]]:
        train = [n for who in self.everybody()[:2] for n in self.names(*who)]
        tested = [self.names(*who) for who in self.everybody()[2:]]
        query = [names[i] for names in tested for i in (0, 2)]
        return {"train": train, "query": query, "gallery": [names[1] for names in tested]}


def write_release(copy: Cuhk03, kinds: tuple[str, ...] = ("labeled", "detected")) -> None:
    """As MATLAB 7.3 writes cell arrays: object references into ``#refs#``, axes reversed, 512
    bytes in front, empty cells as a vector of two sizes marked as empty."""
    import h5py

    with h5py.File(copy.release, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        empty = refs.create_dataset("empty", data=np.zeros(2, dtype=np.uint64))
        empty.attrs["MATLAB_empty"] = 1
        for shade, kind in enumerate(kinds):
            copy.pixels[kind] = {}
            cell = file.create_dataset(kind, (1, len(copy.persons)), dtype=h5py.ref_dtype)
            for pair, many in enumerate(copy.persons, 1):
                inner = refs.create_dataset(f"{kind}{pair}", (10, many), dtype=h5py.ref_dtype)
                inner[:] = np.full((10, many), empty.ref, dtype=object)
                for person in range(1, many + 1):
                    for name in copy.names(pair, person):
                        place = int(name[8:10])
                        seed = 1000 * shade + 100 * pair + 10 * person + place
                        pixels = noise(seed, 40 + place, 20 + person)
                        copy.pixels[kind][name] = pixels
                        stored = refs.create_dataset(f"{kind}{name}", data=pixels.T)
                        inner[place - 1, person - 1] = stored.ref
                cell[0, pair - 1] = inner.ref


def write_split(copy: Cuhk03, kind: str, **changes: Any) -> None:
    """A split file; ``changes`` replace variables (None: leave out)."""
    from scipy.io import savemat

    names = [name for who in copy.everybody() for name in copy.names(*who)]
    labels = [label for label, who in enumerate(copy.everybody(), 1) for _ in copy.names(*who)]
    filelist = np.empty((len(names), 1), dtype=object)
    filelist[:, 0] = names
    column = {
        f"{subset}_idx": np.array([[names.index(n) + 1] for n in listed], dtype=np.float64)
        for subset, listed in copy.lists().items()
    }
    variables: dict[str, Any] = {
        "filelist": filelist,
        "labels": np.array(labels, dtype=np.uint16)[:, None],
        "camId": np.array([[int(n[6])] for n in names], dtype=np.uint8),
        **column,
        **changes,
    }
    savemat(copy.split(kind), {k: v for k, v in variables.items() if v is not None})


@pytest.fixture
def cuhk03(tmp_path: Path) -> Cuhk03:
    """A copy with both kinds and both split files."""
    copy = Cuhk03(tmp_path / "cuhk03")
    copy.root.mkdir()
    write_release(copy)
    for kind in ("labeled", "detected"):
        write_split(copy, kind)
    return copy


@pytest.fixture
def split_writer() -> Callable[..., None]:
    """``split_writer(copy, kind, labels=...)`` writes a split file with other variables."""
    return write_split
