"""Calibration takes a balanced sample of training images and refuses test images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from edgereid.calibration.images import balanced, choose_images, digest
from edgereid.data.types import ImageRecord
from edgereid.errors import InputError


def record(pid: int, camid: int, serial: int) -> ImageRecord:
    return ImageRecord(Path(f"{pid:04d}_c{camid}s1_{serial:06d}_00.jpg"), pid, camid)


#: Person 1 was seen very often, and camera 1 saw most.
SKEWED = [record(1, c, i) for c in (1, 2) for i in range(40)] + [
    record(p, c, i) for p in range(2, 12) for c in (1, 2, 3) for i in range(6 if c == 1 else 2)
]


def write_folder(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (4, 8), (i, 0, 0)).save(folder / f"{i}.png")
    return folder


def test_every_person_is_taken_before_any_a_second_time() -> None:
    for count in (5, 11, 25, 44):
        taken = Counter(int(p.name[:4]) for p in balanced(SKEWED, count, seed=0))
        assert max(taken.values()) - min(taken[p] for p in range(1, 12)) <= 1


def test_cameras_are_used_about_equally() -> None:
    taken = Counter(p.name[6] for p in balanced(SKEWED, 60, seed=0))
    assert max(taken.values()) - min(taken.values()) <= 6


def test_the_choice_depends_on_the_seed_and_not_on_the_order_of_the_listing() -> None:
    first = balanced(SKEWED, 20, seed=1)
    assert balanced(SKEWED[::-1], 20, seed=1) == first
    assert balanced(SKEWED, 20, seed=2) != first
    assert len(set(first)) == 20


def test_when_there_are_too_few_all_are_taken_once() -> None:
    assert sorted(balanced(SKEWED, 10**6, seed=0)) == sorted(r.path for r in SKEWED)


def test_a_datasets_training_split_is_used_and_nothing_else(tmp_path: Path) -> None:
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / name).mkdir()
        for pid in (1, 2):
            Image.new("RGB", (4, 8)).save(tmp_path / name / f"{pid:04d}_c1s1_000001_00.jpg")
    chosen = choose_images(tmp_path, 10)
    assert {p.parent.name for p in chosen.paths} == {"bounding_box_train"}
    assert len(chosen.paths) == 2
    assert chosen.source == "training split of market1501"


def test_a_plain_folder_of_crops_is_taken(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "crops")
    chosen = choose_images(folder, 3, seed=4)
    assert len(set(chosen.paths)) == 3
    assert choose_images(folder, 3, seed=4) == chosen
    assert chosen.source == "folder crops"


@pytest.mark.parametrize("name", ["query", "gallery", "bounding_box_test", "Gallery"])
def test_test_folders_are_refused_unless_insisted(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / name)
    for root in (folder, tmp_path):
        with pytest.raises(InputError, match=r"--allow-test-images"):
            choose_images(root, 2)
        assert len(choose_images(root, 2, allow_test=True).paths) == 2


@pytest.mark.parametrize(
    ("make", "count", "message"),
    [
        (lambda d: d / "nowhere", 4, "is no folder"),
        (lambda d: d, 4, "holds no image"),
        (lambda d: d, 0, "0 calibration images"),
    ],
)
def test_folders_without_images_are_refused(tmp_path: Path, make, count, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        choose_images(make(tmp_path), count)


def test_the_digest_is_of_the_contents(tmp_path: Path) -> None:
    first = [tmp_path / n for n in ("a", "b")]
    for path, data in zip(first, (b"1", b"2"), strict=True):
        path.write_bytes(data)
    renamed = tmp_path / "c"
    renamed.write_bytes(b"1")
    assert digest(first) == digest(first[::-1]) == digest([first[1], renamed])
    renamed.write_bytes(b"3")
    assert digest([first[1], renamed]) != digest(first)
