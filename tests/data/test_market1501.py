"""Reading Market-1501, and refusing what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgereid.data.market1501 import load_dataset, load_market1501
from edgereid.errors import InputError

FILES = (
    "bounding_box_train/0007_c3s2_000451_02.jpg",
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/-1_c2s1_000401_03.jpg",
    "bounding_box_test/0000_c5s1_000151_01.jpg",
    "bounding_box_test/0001_c6s1_001051_00.jpg",
)


def lay_out(root: Path, names: tuple[str, ...] = FILES) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not decoded by the loader")
    return root


def test_records_come_sorted_by_name_with_the_numbers_of_the_names(tmp_path: Path) -> None:
    dataset = load_market1501(lay_out(tmp_path))
    assert dataset.name == "market1501"
    assert [(r.path.name, r.pid, r.camid) for r in dataset.train] == [
        ("0002_c1s1_000451_03.jpg", 2, 1),
        ("0007_c3s2_000451_02.jpg", 7, 3),
    ]
    assert [(r.pid, r.camid) for r in dataset.query] == [(1, 1)]


def test_junk_and_distractors_stay_in_the_gallery(tmp_path: Path) -> None:
    gallery = load_market1501(lay_out(tmp_path)).gallery
    assert [(r.pid, r.camid) for r in gallery] == [(-1, 2), (0, 5), (1, 6)]


def test_files_that_are_no_jpeg_are_passed_over(tmp_path: Path) -> None:
    lay_out(tmp_path, (*FILES, "query/Thumbs.db", "query/notes.txt"))
    assert len(load_market1501(tmp_path).query) == 1


def test_the_folder_of_the_published_archive_is_found(tmp_path: Path) -> None:
    lay_out(tmp_path / "Market-1501-v15.09.15")
    assert load_dataset(tmp_path).root == tmp_path / "Market-1501-v15.09.15"


def test_a_doubled_suffix_as_in_some_copies_is_accepted(tmp_path: Path) -> None:
    lay_out(tmp_path, (*FILES, "query/0003_c2s1_000151_01.jpg.jpg"))
    assert [r.pid for r in load_market1501(tmp_path).query] == [1, 3]


BOXES = (
    "gt_bbox/0001_c1s1_001051_00.jpg",
    "gt_bbox/0001_c2s1_001976_00.jpg",
    "gt_bbox/0002_c1s1_000451_00.jpg",
)


def test_the_hand_drawn_boxes_of_the_queries_persons_serve_multi_query(tmp_path: Path) -> None:
    dataset = load_market1501(lay_out(tmp_path, (*FILES, *BOXES)))
    assert [(r.path.name, r.pid, r.camid) for r in dataset.multi_query] == [
        ("0001_c1s1_001051_00.jpg", 1, 1),
        ("0001_c2s1_001976_00.jpg", 1, 2),
    ]


def test_a_copy_without_hand_drawn_boxes_has_none(tmp_path: Path) -> None:
    assert load_market1501(lay_out(tmp_path)).multi_query == ()


def test_a_hand_drawn_box_of_another_name_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, (*FILES, "gt_bbox/0001.jpg"))
    with pytest.raises(InputError, match="not a Market-1501 file name"):
        load_market1501(tmp_path)


def test_hidden_files_that_macos_leaves_on_foreign_disks_are_passed_over(tmp_path: Path) -> None:
    lay_out(tmp_path, (*FILES, "query/._0001_c1s1_001051_00.jpg"))
    assert len(load_market1501(tmp_path).query) == 1


BROKEN = {
    "an empty folder": ((), "is empty"),
    "a folder of something else": (("photos/a.jpg",), "no known dataset layout"),
    "a subset is missing": (FILES[:3], "bounding_box_test not found"),
    "a subset is empty": ((*FILES[:2], *FILES[3:], "query/Thumbs.db"), "query holds no .jpg"),
    "a name without a camera": ((*FILES, "query/0003.jpg"), "0003.jpg: not a Market-1501 file"),
    "a negative person that is not junk": ((*FILES, "query/-2_c1s1_000001_00.jpg"), "file name"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_folder_is_refused_in_one_line_that_says_what_to_do(
    tmp_path: Path, case: str
) -> None:
    names, message = BROKEN[case]
    lay_out(tmp_path, names)
    with pytest.raises(InputError) as caught:
        load_dataset(tmp_path)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert "expected" in text or "name the folder" in text or "unpack" in text


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_dataset(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        load_dataset(tmp_path / "file")
