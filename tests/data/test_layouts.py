"""One entry for every layout: recognised by what a folder holds, or refused with what is known."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgereid.data.layouts import LAYOUTS, detect, open_dataset
from edgereid.data.types import LAYOUT_NAMES
from edgereid.errors import InputError, UsageError

Copy = Callable[[Path, str], Path]


def test_the_light_list_of_names_is_that_of_the_readers() -> None:
    assert tuple(LAYOUTS) == LAYOUT_NAMES


@pytest.mark.parametrize("layout", ["market1501", "dukemtmc"])
def test_families_with_the_same_folders_are_told_apart_by_their_names(
    layout: str, market: Path, duke: Path
) -> None:
    root = {"market1501": market, "dukemtmc": duke}[layout]
    assert open_dataset(root).layout == layout


@pytest.mark.parametrize("layout", ["msmt17-v1", "msmt17-v2"])
def test_versions_are_told_apart_by_their_folders(
    tmp_path: Path, msmt17: Copy, layout: str
) -> None:
    assert open_dataset(msmt17(tmp_path, layout)).layout == layout


def test_a_csv_file_and_its_folder_are_recognised(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("path,pid,camid,split\na.jpg,1,1,query\n")
    (tmp_path / "query").mkdir()  # as Market-1501 has, but it is not Market-1501
    assert open_dataset(table) == open_dataset(tmp_path)
    assert open_dataset(tmp_path).layout == "csv"


def test_both_kinds_of_cuhk03_in_a_folder_ask_for_a_choice(cuhk03: Any) -> None:
    with pytest.raises(InputError, match="cuhk03-labeled and as cuhk03-detected: choose one with"):
        open_dataset(cuhk03.root)
    for kind in ("labeled", "detected"):
        assert open_dataset(cuhk03.root, f"cuhk03-{kind}").layout == f"cuhk03-{kind}"


def test_one_kind_of_cuhk03_and_its_unpacked_folder_are_recognised(
    cuhk03: Any, tmp_path: Path
) -> None:
    cuhk03.split("labeled").unlink()
    dataset = open_dataset(cuhk03.root, cache=tmp_path / "unpacked")
    assert dataset.layout == "cuhk03-detected"
    assert open_dataset(tmp_path / "unpacked") == dataset


def test_several_datasets_in_a_folder_ask_for_a_choice(
    tmp_path: Path, market: Path, msmt17: Copy
) -> None:
    market.rename(tmp_path / "Market-1501-v15.09.15")
    msmt17(tmp_path / "MSMT17_V1", "msmt17-v1")
    with pytest.raises(InputError, match="as market1501 and as msmt17-v1"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, "msmt17-v1").root == tmp_path / "MSMT17_V1"


def test_an_unknown_name_is_wrong_use(market: Path) -> None:
    with pytest.raises(UsageError, match="layout 'market' is unknown: market1501, dukemtmc"):
        open_dataset(market, "market")


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
def test_a_folder_of_another_layout_is_refused_in_one_line(tmp_path: Path, layout: str) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        open_dataset(tmp_path, layout)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


UNKNOWN: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty folder": (Path.mkdir, "is empty and is in no known"),
    "photographs": (
        lambda p: [(p / f"{i:02}.jpg").write_bytes(b"") for i in range(p.mkdir() or 20)],
        "holds 00.jpg, 01.jpg, 02.jpg, 03.jpg, 04.jpg, 05.jpg, 06.jpg, 07.jpg and 12 more",
    ),
    "only the images of CUHK03": (
        lambda p: (p.mkdir(), (p / "cuhk-03.mat").write_bytes(b"")),
        "cuhk03-labeled (cuhk-03.mat, cuhk03_new_protocol_config_labeled.mat)",
    ),
    "another table": (
        lambda p: (p.mkdir(), (p / "a.csv").write_text("x,y\n")),
        "csv (a .csv file with the columns path,pid,camid,split)",
    ),
    "nothing": (lambda p: None, "no such folder"),
    "another file": (lambda p: p.write_text("x"), "is a file"),
    "a loop of links": (lambda p: os.symlink(p, p), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_no_dataset_is_refused_with_what_was_found_and_what_is_known(
    tmp_path: Path, case: str
) -> None:
    make, message = UNKNOWN[case]
    make(tmp_path / "it")
    with pytest.raises(InputError) as caught:
        detect(tmp_path / "it")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["bounding_box_train", "query", "bounding_box_test"])
def test_a_subset_that_is_a_loop_of_links_is_missing(market: Path, name: str) -> None:
    (market / name).rename(market / "elsewhere")
    os.symlink(market / name, market / name)
    with pytest.raises(InputError, match=f"{name} not found"):
        open_dataset(market)


@pytest.mark.parametrize("layout", [None, *LAYOUT_NAMES])
def test_a_folder_that_may_not_be_entered_is_refused_in_one_line(
    market: Path, layout: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user without the permission: what is inside cannot be asked about."""
    (market / "people.csv").write_text("path,pid,camid,split\n")
    ask = os.stat

    def refuse(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if market in Path(path).parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return ask(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(InputError) as caught:
        open_dataset(market, layout)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(os, "access", lambda *a: False)
    with pytest.raises(InputError, match="no permission to read"):
        open_dataset(market, "market1501")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_that_may_not_be_listed_is_refused(market: Path) -> None:
    (market / "query").chmod(0)
    try:
        with pytest.raises(InputError, match="cannot list"):
            open_dataset(market)
    finally:
        (market / "query").chmod(0o755)
