"""A dataset as a plain table: a CSV file with the columns ``path,pid,camid,split``.

Paths are relative to the CSV's folder; ``split`` is train, query or gallery. Persons and cameras
are whole numbers, persons from 1; in the gallery person 0 marks distractors and -1 junk.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

from edgereid.data.listing import check_folder, entries, excerpt, inside, read_list
from edgereid.data.types import JUNK_PID, ImageRecord, ReidDataset
from edgereid.errors import InputError

COLUMNS = ("path", "pid", "camid", "split")
SPLITS = ("train", "query", "gallery")
_HEADER = ",".join(COLUMNS)
_HEADER_BYTES = 4096
_LARGEST = 2**31 - 1


def find_tables(root: Path) -> list[Path]:
    """The CSV files of this layout: ``root`` itself, or those in the folder ``root``."""
    candidates = [root] if os.path.isfile(root) else [root / name for name in entries(root)]
    return [path for path in candidates if path.suffix.lower() == ".csv" and _has_header(path)]


def fits(root: Path) -> bool:
    """Whether ``root`` is such a file, or a folder with one or more of them."""
    return bool(find_tables(root))


def _has_header(path: Path) -> bool:
    if not os.path.isfile(path):
        return False
    try:
        with path.open("rb") as file:
            first = file.readline(_HEADER_BYTES)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return _columns(first.decode("utf-8-sig", "replace")) is not None


def _columns(line: str) -> list[str] | None:
    """The header's names when each of ``COLUMNS`` is there once, whatever else is."""
    try:
        names = [name.strip() for row in csv.reader([line]) for name in row]
    except csv.Error:  # a NUL byte (UTF-16), lines that end in CR alone
        return None
    return names if all(names.count(column) == 1 for column in COLUMNS) else None


def load_csv(root: Path) -> ReidDataset:
    """The dataset that a CSV file describes; ``root`` is the file, or a folder with one of them.

    Records stand in the file's order. A subset may be empty: what needs it says so.
    Raises: InputError on a missing or second table, another header, text that is not UTF-8, a path
    that leaves the folder, a number or a split that is none.
    """
    table = _the_table(root)
    subsets: dict[str, list[ImageRecord]] = {split: [] for split in SPLITS}
    lines = read_list(table)
    header = _columns(lines[0])
    if header is None:
        raise InputError(f"{table}: the first line is {excerpt(lines[0])}; expected {_HEADER}")
    reader = csv.reader(lines[1:], strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise InputError(f"{table}, line {reader.line_num + 1}: {error}") from error
        if row:
            split, record = _record(
                table.parent, header, row, f"{table}, line {reader.line_num + 1}"
            )
            subsets[split].append(record)
    if not any(subsets.values()):
        raise InputError(f"{table} names no image: below the header, one line an image")
    train, query, gallery = (tuple(subsets[split]) for split in SPLITS)
    return ReidDataset(table.stem, table.parent, train, query, gallery, layout="csv")


def _the_table(root: Path) -> Path:
    if not os.path.isfile(root):
        check_folder(root, f"a .csv file with the columns {_HEADER}")
        tables = find_tables(root)
        if len(tables) != 1:
            found = ", ".join(path.name for path in tables) or "no such file"
            raise InputError(
                f"{root}: one .csv file with the columns {_HEADER} is expected, found {found}; "
                "name the file itself"
            )
        return tables[0]
    return root


def _record(folder: Path, header: list[str], row: list[str], where: str) -> tuple[str, ImageRecord]:
    if len(row) != len(header):
        raise InputError(f"{where}: {len(row)} fields where the header has {len(header)}")
    path, pid, camid, split = (row[header.index(column)].strip() for column in COLUMNS)
    if split not in SPLITS:
        raise InputError(f"{where}: split {excerpt(split)}; expected {', '.join(SPLITS)}")
    lowest = JUNK_PID if split == "gallery" else 1
    person = _number(pid, "pid", lowest, where)
    return split, ImageRecord(
        inside(folder, path, where), person, _number(camid, "camid", 0, where)
    )


def _number(text: str, column: str, lowest: int, where: str) -> int:
    digits = text.removeprefix("-")
    value = int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else None
    if value is None or not lowest <= value <= _LARGEST:
        hint = " (0 and -1, distractors and junk, stand in the gallery only)" if lowest == 1 else ""
        raise InputError(
            f"{where}: {column} {excerpt(text)}; expected a whole number from {lowest}{hint}"
        )
    return value
