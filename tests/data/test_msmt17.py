"""Reading MSMT17's lists, versions 1 and 2, and refusing what is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgereid.data.msmt17 import LISTS, V1, V2, load_msmt17
from edgereid.errors import InputError

Copy = Callable[[Path, str], Path]
VERSIONS = {"msmt17-v1": V1, "msmt17-v2": V2}


@pytest.mark.parametrize("layout", VERSIONS)
def test_train_and_val_are_trained_on_and_cameras_come_from_the_names(
    tmp_path: Path, msmt17: Copy, layout: str
) -> None:
    dataset = load_msmt17(msmt17(tmp_path, layout), VERSIONS[layout])
    assert dataset.layout == layout
    assert [(r.pid, r.camid) for r in dataset.train] == [(1, 1), (2, 15), (1, 2)]
    records = (*dataset.train, *dataset.query, *dataset.gallery)
    assert all(r.path.is_file() for r in records)


def test_persons_of_train_and_test_differ_and_nobody_is_a_distractor(
    tmp_path: Path, msmt17: Copy
) -> None:
    dataset = load_msmt17(msmt17(tmp_path, "msmt17-v1"), V1)
    assert [(r.pid, r.camid) for r in dataset.query] == [(10_001, 3)]
    assert [(r.pid, r.camid) for r in dataset.gallery] == [(10_001, 4), (10_018, 4)]


@pytest.mark.parametrize("inner", ["MSMT17_V2", "MSMT17_V2/MSMT17_V2"])
def test_the_folder_of_the_archive_is_found(tmp_path: Path, msmt17: Copy, inner: str) -> None:
    msmt17(tmp_path / inner, "msmt17-v2")
    assert load_msmt17(tmp_path, V2).root == tmp_path / inner


LINE = "0000/0000_000_01_0303morning_0008_0.jpg 0\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + LINE.encode(),
        LINE.replace("\n", "\r\n").encode(),
        f"\n{LINE}\n\n".encode(),
        LINE.replace(" ", "\t").encode(),
        LINE.rstrip().encode(),
    ],
    ids=["byte order mark", "CRLF", "empty lines", "tab", "no final newline"],
)
def test_a_list_edited_on_another_system_is_read(tmp_path: Path, msmt17: Copy, data: bytes) -> None:
    (msmt17(tmp_path, "msmt17-v1") / "list_train.txt").write_bytes(data)
    first = load_msmt17(tmp_path, V1).train[0]
    assert first.path == tmp_path / "train/0000/0000_000_01_0303morning_0008_0.jpg"
    assert (first.pid, first.camid) == (1, 1)


NAME = "0000_000_01_0303morning_0008_0.jpg"
BAD_LINES = {
    "an absolute path": (f"/etc/{NAME} 0".encode(), "leaves the dataset"),
    "a drive": (f"C:\\data\\{NAME} 0".encode(), "leaves the dataset"),
    "parents": (f"../../{NAME} 0".encode(), "leaves the dataset"),
    "hidden parents": (f"0000/../../{NAME} 0".encode(), "leaves the dataset"),
    "parents of another system": (f"..\\{NAME} 0".encode(), "leaves the dataset"),
    "no person": (f"0000/{NAME}".encode(), "no entry of MSMT17"),
    "no number": (f"0000/{NAME} x".encode(), "no entry of MSMT17"),
    "a negative person": (f"0000/{NAME} -1".encode(), "no entry of MSMT17"),
    "a person beyond those of train": (f"0000/{NAME} 10000".encode(), "no entry of MSMT17"),
    "no camera": (b"0000/a.jpg 0", "no entry of MSMT17"),
    "not UTF-8": (b"0000/\xff\xfe.jpg 0", "is not UTF-8 text"),
    "UTF-16": (f"0000/{NAME} 0".encode("utf-16"), "is not UTF-8 text"),
    "NUL bytes": (b"\0\0\0\0", "NUL bytes"),
    "no line": (b"", "names no image"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_list_ends_in_one_line_that_names_it(tmp_path: Path, msmt17: Copy, case: str) -> None:
    data, message = BAD_LINES[case]
    (msmt17(tmp_path, "msmt17-v1") / "list_query.txt").write_bytes(data)
    with pytest.raises(InputError, match="list_query") as caught:
        load_msmt17(tmp_path, V1)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_message_about_a_line_gives_its_number(tmp_path: Path, msmt17: Copy) -> None:
    (msmt17(tmp_path, "msmt17-v1") / "list_query.txt").write_text(f"{LINE}\n{LINE}junk\n")
    with pytest.raises(InputError, match=r"list_query\.txt, line 4"):
        load_msmt17(tmp_path, V1)


@pytest.mark.parametrize("name", [*LISTS, "train", "test"])
def test_what_is_missing_is_named(tmp_path: Path, msmt17: Copy, name: str) -> None:
    (msmt17(tmp_path, "msmt17-v1") / name).rename(tmp_path / "renamed")
    with pytest.raises(InputError, match=f"{name} not found"):
        load_msmt17(tmp_path, V1)


def test_a_list_that_is_a_loop_of_links_is_missing(tmp_path: Path, msmt17: Copy) -> None:
    path = msmt17(tmp_path, "msmt17-v1") / "list_query.txt"
    path.unlink()
    os.symlink(path, path)
    with pytest.raises(InputError, match=r"list_query\.txt not found"):
        load_msmt17(tmp_path, V1)
