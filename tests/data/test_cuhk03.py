"""CUHK03 from its MATLAB files: the images bit for bit, the protocol's lists, and broken copies."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgereid.data import cuhk03_mat
from edgereid.data.cuhk03 import MARKER, load_cuhk03
from edgereid.data.types import ReidDataset
from edgereid.errors import InputError, StorageError, UsageError
from edgereid.files import read_json

h5py = pytest.importorskip("h5py")


@pytest.mark.parametrize("kind", ["labeled", "detected"])
def test_every_image_is_unpacked_without_loss_and_upright(cuhk03: Any, kind: str) -> None:
    dataset = load_cuhk03(cuhk03.root, kind)
    records = (*dataset.train, *dataset.query, *dataset.gallery)
    assert {r.path.name for r in records} == set(cuhk03.pixels[kind])
    for record in records:
        with Image.open(record.path) as image:
            assert np.array_equal(np.asarray(image), cuhk03.pixels[kind][record.path.name])


def test_the_subsets_are_those_of_the_protocols_indices(cuhk03: Any) -> None:
    dataset = load_cuhk03(cuhk03.root, "labeled")
    for subset, names in cuhk03.lists().items():
        assert [r.path.name for r in dataset.subsets()[subset]] == names


def test_person_and_camera_are_those_of_the_name(cuhk03: Any) -> None:
    dataset = load_cuhk03(cuhk03.root, "labeled")
    found = {r.path.name: (r.pid, r.camid) for r in (*dataset.train, *dataset.query)}
    assert found["1_001_1_01.png"] == (1001, 1)
    assert found["1_001_2_06.png"] == (1001, 2)
    assert found["2_002_1_01.png"] == (2002, 3)
    assert found["2_002_2_06.png"] == (2002, 4)


def test_images_are_unpacked_once(cuhk03: Any) -> None:
    folder = load_cuhk03(cuhk03.root, "labeled").root
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    load_cuhk03(cuhk03.root, "labeled")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_another_split_file_unpacks_anew(cuhk03: Any, split_writer: Callable[..., None]) -> None:
    load_cuhk03(cuhk03.root, "labeled")
    split_writer(cuhk03, "labeled", gallery_idx=np.array([[2.0]]))
    assert len(load_cuhk03(cuhk03.root, "labeled").gallery) == 1


def same(a: ReidDataset, b: ReidDataset) -> bool:
    def rows(dataset: ReidDataset) -> list[tuple[str, str, int, int]]:
        return [
            (name, r.path.name, r.pid, r.camid)
            for name, records in dataset.subsets().items()
            for r in records
        ]

    return (rows(a), a.layout) == (rows(b), b.layout)


def test_the_unpacked_folder_is_a_dataset_without_the_matlab_files(
    cuhk03: Any, tmp_path: Path
) -> None:
    first = load_cuhk03(cuhk03.root, "detected", tmp_path / "elsewhere")
    assert first.root == tmp_path / "elsewhere"
    assert not (cuhk03.root / "edgereid-cuhk03-detected").exists()
    for path in cuhk03.root.iterdir():
        path.unlink()
    assert same(load_cuhk03(tmp_path / "elsewhere", "detected"), first)


def test_the_release_may_lie_in_its_own_folder(cuhk03: Any) -> None:
    (cuhk03.root / "cuhk03_release").mkdir()
    cuhk03.release.rename(cuhk03.root / "cuhk03_release" / "cuhk-03.mat")
    assert len(load_cuhk03(cuhk03.root, "labeled").train) == 6


def cut(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def bomb(copy: Any) -> None:
    """70 MB of zeros in 70 kB: a MATLAB 5 file of one compressed variable."""
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    packed = zlib.compress(bytes(70 * 2**20), 9)
    copy.split("labeled").write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)


def many_cells(copy: Any) -> None:
    with h5py.File(copy.release, "a") as file:
        del file["labeled"]
        file.create_dataset("labeled", (1, 6), dtype=h5py.ref_dtype)


def external_link(copy: Any) -> None:
    with h5py.File(copy.release, "a") as file:
        del file["labeled"]
        file["labeled"] = h5py.ExternalLink("/etc/other.h5", "/labeled")


def no_cells(copy: Any) -> None:
    with h5py.File(copy.release, "a") as file:
        del file["labeled"]
        file["labeled"] = np.zeros((3, 3))


def replace_cell(copy: Any, data: Any) -> None:
    """Another content for the image 1_001_1_01 (or none at all)."""
    with h5py.File(copy.release, "a") as file:
        inner = file[file["labeled"][0, 0]]
        new = file["#refs#"].create_dataset("new", data=data) if data is not None else None
        inner[0, 0] = new.ref if new is not None else h5py.Reference()


BREAKAGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "no release": (lambda c: c.release.unlink(), "cuhk-03.mat not found"),
    "no split": (lambda c: c.split("labeled").unlink(), "config_labeled.mat not found"),
    "truncated release": (lambda c: cut(c.release, 0.5), "cuhk-03.mat is truncated or no MATLAB"),
    "empty release": (lambda c: c.release.write_bytes(b""), "cuhk-03.mat is truncated or no"),
    "release of another format": (
        lambda c: c.release.write_bytes(c.split("labeled").read_bytes()),
        "no MATLAB 7.3 (HDF5) file",
    ),
    "truncated split": (lambda c: cut(c.split("labeled"), 0.5), "labeled.mat is truncated or"),
    "empty split": (lambda c: c.split("labeled").write_bytes(b""), "is truncated or no MATLAB 5"),
    "split of another format": (
        lambda c: c.split("labeled").write_bytes(c.release.read_bytes()),
        "no MATLAB 5 file",
    ),
    "a split that unpacks to too much": (bomb, "unpacks to more than 64 MiB"),
    "more pairs of cameras than there are": (many_cells, "is no cell array"),
    "a link to another file": (external_link, "has no 'labeled'"),
    "something else than cells": (no_cells, "is no cell array"),
    "an empty cell": (lambda c: replace_cell(c, np.zeros(2, dtype=np.uint64)), "holds no image"),
    "a broken reference": (lambda c: replace_cell(c, None), "reference"),
    "grey": (lambda c: replace_cell(c, np.zeros((1, 9, 9), np.uint8)), "holds no image"),
    "floats": (lambda c: replace_cell(c, np.zeros((3, 9, 9))), "holds no image"),
    "a huge image": (lambda c: replace_cell(c, np.zeros((3, 9, 2001), np.uint8)), "no crop"),
}


@pytest.mark.parametrize("case", BREAKAGES)
def test_a_broken_copy_ends_in_one_line_and_leaves_nothing(cuhk03: Any, case: str) -> None:
    damage, message = BREAKAGES[case]
    damage(cuhk03)
    before = set(cuhk03.root.iterdir())
    with pytest.raises(InputError) as caught:
        load_cuhk03(cuhk03.root, "labeled")
    assert message in str(caught.value)
    assert str(cuhk03.root) in str(caught.value) or "1_001_1_01" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert set(cuhk03.root.iterdir()) == before


def names(*values: str) -> Any:
    return np.array([[value] for value in values], dtype=object)


BAD_SPLITS: dict[str, tuple[dict[str, Any], str]] = {
    "a variable is missing": ({"query_idx": None}, "lacks query_idx"),
    "lengths differ": ({"labels": np.ones((3, 1))}, "differ in length"),
    "an index beyond the list": ({"query_idx": np.array([[16.0]])}, "outside 1..15"),
    "indices from zero": ({"query_idx": np.array([[0.0]])}, "outside 1..15"),
    "no query": ({"query_idx": np.zeros((0, 1))}, "is empty"),
    "half an index": ({"query_idx": np.array([[1.5]])}, "no whole numbers"),
    "not a number": ({"query_idx": np.array([[np.nan]])}, "no whole numbers"),
    "text for indices": ({"query_idx": names("x", "y")}, "no whole numbers"),
    "labels that contradict the names": ({"labels": np.ones((15, 1))}, "label 1 stands for"),
    "a label an image": ({"labels": np.arange(15)[:, None]}, "several labels"),
    "a name that leaves the folder": (
        {"filelist": names("../../etc/passwd", *["1_001_1_01.png"] * 14)},
        "no image name",
    ),
    "numbers for names": ({"filelist": np.ones((15, 1))}, "something else than names"),
}


@pytest.mark.parametrize("case", BAD_SPLITS)
def test_a_bad_split_file_ends_in_one_line(
    cuhk03: Any, case: str, split_writer: Callable[..., None]
) -> None:
    changes, message = BAD_SPLITS[case]
    split_writer(cuhk03, "labeled", **changes)
    with pytest.raises(InputError, match=r"config_labeled\.mat") as caught:
        load_cuhk03(cuhk03.root, "labeled")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_split_of_images_that_the_release_lacks_is_refused(cuhk03: Any) -> None:
    with cuhk03_mat.opened(cuhk03.release) as file:
        for name in ("1_009_1_01.png", "5_001_1_01.png", "1_001_1_03.png"):
            with pytest.raises(InputError, match=name.removesuffix(".png")):
                list(cuhk03_mat.images(file, "labeled", [name]))
        with pytest.raises(InputError, match="not of view 2"):
            list(cuhk03_mat.images(file, "labeled", ["1_001_2_01.png"]))


def test_an_unpacked_folder_with_a_file_missing_is_refused(cuhk03: Any) -> None:
    folder = load_cuhk03(cuhk03.root, "labeled").root
    (folder / "1_001_1_01.png").unlink()
    with pytest.raises(InputError, match=r"lacks 1 images, 1_001_1_01\.png first"):
        load_cuhk03(cuhk03.root, "labeled")


def test_a_folder_of_other_files_is_not_replaced(cuhk03: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    with pytest.raises(StorageError, match="not replaced"):
        load_cuhk03(cuhk03.root, "labeled", tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "words"


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"train": "x"},
        {"train": ["../../secret.png"]},
        {"train": [1]},
        {"kind": "detected"},
    ],
)
def test_a_marker_of_another_form_is_refused(cuhk03: Any, change: dict[str, Any]) -> None:
    folder = load_cuhk03(cuhk03.root, "labeled").root
    marker = read_json(folder / MARKER)
    (folder / MARKER).write_text(json.dumps(marker | change))
    with pytest.raises(InputError, match="edgereid-cuhk03"):
        load_cuhk03(folder, "labeled")


def test_an_unknown_kind_is_wrong_use(cuhk03: Any) -> None:
    with pytest.raises(UsageError, match="labeled, detected"):
        load_cuhk03(cuhk03.root, "both")
