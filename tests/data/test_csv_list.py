"""A dataset as a table: what is read, and each way in which a table can be wrong."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.data.csv_list import COLUMNS, find_tables, load_csv
from edgereid.data.listing import inside
from edgereid.errors import InputError

HEADER = "path,pid,camid,split\n"
ROWS = "a/1.jpg,1,1,train\na/2.jpg,2,1,query\na/3.jpg,2,2,gallery\na/4.jpg,-1,2,gallery\n"


def write(folder: Path, text: str | bytes, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_become_records_relative_to_the_files_folder(tmp_path: Path) -> None:
    dataset = load_csv(write(tmp_path, HEADER + ROWS))
    assert (dataset.name, dataset.layout, dataset.root) == ("people", "csv", tmp_path)
    assert [(r.path, r.pid, r.camid) for r in dataset.gallery] == [
        (tmp_path / "a/3.jpg", 2, 2),
        (tmp_path / "a/4.jpg", -1, 2),
    ]
    assert [len(records) for records in dataset.subsets().values()] == [1, 1, 2, 0]


def test_a_folder_with_one_such_table_is_enough(tmp_path: Path) -> None:
    write(tmp_path, HEADER + ROWS)
    write(tmp_path, "epoch,loss\n1,0.5\n", "log.csv")
    assert len(load_csv(tmp_path).gallery) == 2


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    text = "split,note,camid,path,pid\nquery,by hand,3,x.png,7\n"
    (record,) = load_csv(write(tmp_path, text)).query
    assert (record.path, record.pid, record.camid) == (tmp_path / "x.png", 7, 3)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(
                lambda name: name not in (".", "..") and not set("/\\:").intersection(name)
            ),
            st.integers(1, 10**6),
            st.integers(0, 99),
            st.sampled_from(["train", "query", "gallery"]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_what_pythons_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, int, int, str]],
    newline: str,
    mark: bool,
) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=newline).writerows([COLUMNS, *rows])
    folder = tmp_path_factory.getbasetemp() / "written"
    folder.mkdir(exist_ok=True)
    path = write(folder, out.getvalue().encode("utf-8-sig" if mark else "utf-8"))
    dataset = load_csv(path)
    for split, records in dataset.subsets().items():
        expected = [(folder / name, pid, camid) for name, pid, camid, s in rows if s == split]
        assert [(r.path, r.pid, r.camid) for r in records] == expected


BAD = {
    "a number for a split": ("a.jpg,1,1,0\n", "split '0'; expected train, query, gallery"),
    "an unknown split": ("a.jpg,1,1,test\n", "split 'test'"),
    "a field too few": ("a.jpg,1,train\n", "3 fields where the header has 4"),
    "a field too many": ("a.jpg,1,1,train,x\n", "5 fields"),
    "no number": ("a.jpg,one,1,train\n", "pid 'one'; expected a whole number from 1"),
    "half a person": ("a.jpg,1.5,1,train\n", "pid '1.5'"),
    "digits of another script": ("a.jpg,\u0661,1,train\n", "pid"),
    "a number of a thousand digits": (f"a.jpg,{'9' * 1000},1,train\n", "pid '999"),
    "a person beyond 32 bits": ("a.jpg,2147483648,1,train\n", "pid"),
    "junk in train": ("a.jpg,-1,1,train\n", "stand in the gallery only"),
    "a distractor as query": ("a.jpg,0,1,query\n", "stand in the gallery only"),
    "an unknown negative person": ("a.jpg,-2,1,gallery\n", "expected a whole number from -1"),
    "a negative camera": ("a.jpg,1,-1,train\n", "camid '-1'"),
    "no path": (",1,1,train\n", "no path"),
    "an absolute path": ("/etc/passwd,1,1,train\n", "leaves the dataset"),
    "a drive": ("C:/a.jpg,1,1,train\n", "leaves the dataset"),
    "parents": ("a/../../b.jpg,1,1,train\n", "leaves the dataset"),
    "parents of another system": ("a\\..\\..\\b.jpg,1,1,train\n", "leaves the dataset"),
    "a command to the terminal": ("\x1b[2J.jpg,1,1,train\n", "'\\x1b[2J.jpg' holds a control"),
    "a quote left open": ('"a.jpg,1,1,train\n', "line 2"),
    "a huge field": (f"{'a' * 200_000},1,1,train\n", "line 2"),
    "no rows": ("", "names no image"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_ends_in_one_short_line_that_names_file_and_line(
    tmp_path: Path, case: str
) -> None:
    rows, message = BAD[case]
    with pytest.raises(InputError, match=r"people\.csv") as caught:
        load_csv(write(tmp_path, HEADER + rows))
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 400
    assert case == "no rows" or "line 2" in text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the first line is ''"),
        (b"file,person\na.jpg,1\n", "expected path,pid,camid,split"),
        (b"path,pid,camid,split,path\n", "expected path,pid,camid,split"),
        ((HEADER + ROWS).encode("utf-16"), "not UTF-8"),
        ((HEADER + ROWS).replace("\n", "\r").encode(), "the first line is 'path,pid,camid"),
        (HEADER.encode() + b"\xe9.jpg,1,1,train\n", "not UTF-8"),
        (HEADER.encode() + b"a\0.jpg,1,1,train\n", "NUL"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_csv(write(tmp_path, data))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"path,pid\rx,1\r", "path,pid\n".encode("utf-16"), b'"', b"\xff\xfe\0", b"a" * 9999]
)
def test_a_foreign_table_in_a_folder_is_passed_over(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, data, "notes.csv")
    assert find_tables(tmp_path) == []
    write(tmp_path, HEADER + ROWS)
    assert len(load_csv(tmp_path).gallery) == 2


def test_a_folder_with_none_or_two_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no such file"):
        load_csv(tmp_path)
    write(tmp_path, HEADER + ROWS, "a.csv")
    write(tmp_path, HEADER + ROWS, "b.csv")
    with pytest.raises(InputError, match=r"found a\.csv, b\.csv; name the file itself"):
        load_csv(tmp_path)


@given(st.text(max_size=30) | st.text("./\\:aC\0 ", max_size=12))
def test_no_listed_path_leaves_its_folder(text: str) -> None:
    try:
        path = inside(Path("/data/set"), text, "here")
    except InputError:
        return
    assert os.path.normpath(path).startswith("/data/set/")
