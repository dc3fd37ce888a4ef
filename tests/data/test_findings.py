"""The report on a dataset: its lists against naive loops, and which findings make it broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.data.findings import KINDS, Report, check_dataset
from edgereid.data.market1501 import load_market1501
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import UsageError

Draw = Callable[..., Path]


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(f.kind, f.subject) for f in report.findings]


def test_a_sound_dataset_is_usable_and_every_file_was_opened(market: Path) -> None:
    report = check_dataset(load_market1501(market))
    assert (report.findings, report.broken, report.files) == ((), False, 8)


def test_an_unreadable_file_breaks_and_stands_under_its_path_in_the_dataset(market: Path) -> None:
    dataset = load_market1501(market)
    dataset.train[0].path.write_bytes(b"")
    report = check_dataset(dataset)
    assert kinds(report) == [("unreadable", "bounding_box_train/0002_c1s1_000451_03.jpg")]
    assert report.broken
    assert report.findings[0].text == report.findings[0].detail


def test_the_same_bytes_are_found_under_another_name(market: Path) -> None:
    dataset = load_market1501(market)
    a, b = dataset.train
    b.path.write_bytes(a.path.read_bytes())
    dataset.gallery[0].path.write_bytes(a.path.read_bytes())
    found = check_dataset(dataset).by_kind()["same_bytes"]
    assert [(f.subject, f.detail) for f in found] == [
        (
            "bounding_box_train/0002_c2s1_000451_03.jpg",
            "as bounding_box_train/0002_c1s1_000451_03.jpg",
        ),
        (
            "bounding_box_test/-1_c2s1_000401_03.jpg",
            "as bounding_box_train/0002_c1s1_000451_03.jpg, of another person",
        ),
    ]


def test_a_file_listed_twice_is_a_warning_and_with_another_person_an_error(market: Path) -> None:
    dataset = load_market1501(market)
    first = dataset.train[0]
    twice = check_dataset(replace(dataset, train=(*dataset.train, first)))
    assert kinds(twice) == [("listed_twice", "bounding_box_train/0002_c1s1_000451_03.jpg")]
    assert not twice.broken
    other = replace(first, pid=3)
    found = check_dataset(replace(dataset, train=(*dataset.train, other)))
    assert [f.kind for f in found.findings] == ["contradiction", "one_camera"]
    assert "person 2 camera 1 and person 3 camera 1" in found.findings[0].detail
    assert found.broken


def test_a_person_in_train_and_test_breaks(market: Path) -> None:
    dataset = load_market1501(market)
    train = (*dataset.train, replace(dataset.train[0], path=dataset.root / "new.jpg", pid=1))
    found = check_dataset(replace(dataset, train=train)).by_kind()["overlap"]
    assert [f.text for f in found] == [
        "person 1: 1 train, 1 query, 1 gallery, 2 multi_query images"
    ]


def test_without_a_match_there_is_nothing_to_evaluate(market: Path) -> None:
    dataset = load_market1501(market)
    report = check_dataset(replace(dataset, gallery=dataset.gallery[:2]))
    assert [f.kind for f in report.findings] == ["nothing", "one_camera", "no_match"]
    assert report.broken


@pytest.mark.parametrize("empty", ["query", "gallery"])
def test_an_empty_subset_leaves_nothing_to_evaluate(market: Path, empty: str) -> None:
    dataset = load_market1501(market)
    changes: dict[str, tuple[ImageRecord, ...]] = {empty: ()}
    report = check_dataset(replace(dataset, **changes))  # type: ignore[arg-type]
    assert "nothing" in report.by_kind()


def test_without_training_images_a_dataset_can_be_evaluated_on(market: Path) -> None:
    report = check_dataset(replace(load_market1501(market), train=()))
    assert kinds(report) == [("no_training", "train")]
    assert not report.broken


def test_findings_come_in_the_order_of_the_table_broken_ones_first(market: Path) -> None:
    severity = [kind.broken for kind in KINDS.values()]
    assert severity == sorted(severity, reverse=True)


def test_a_file_outside_the_folder_is_named_in_full(market: Path, drawn: Draw) -> None:
    dataset = load_market1501(market)
    path = drawn(market.parent / "elsewhere.jpg", 99, 1, 1)
    report = check_dataset(replace(dataset, gallery=(*dataset.gallery, ImageRecord(path, 1, 2))))
    assert kinds(report) == [("tiny", str(path))]


def test_what_pillow_finds_odd_does_not_reach_the_terminal(
    market: Path, drawn: Draw, recwarn: pytest.WarningsRecorder
) -> None:
    dataset = load_market1501(market)
    drawn(dataset.train[0].path, exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff")
    assert not check_dataset(dataset).broken
    assert list(recwarn) == []


def test_no_workers_is_wrong_use(market: Path) -> None:
    with pytest.raises(UsageError, match="0 workers"):
        check_dataset(load_market1501(market), 0)


Person = st.tuples(st.integers(-1, 4), st.integers(1, 3))


def records(what: str, rows: list[tuple[int, int]]) -> tuple[ImageRecord, ...]:
    return tuple(
        ImageRecord(Path(os.sep, "none", what, f"{i}.jpg"), pid, camid)
        for i, (pid, camid) in enumerate(rows)
    )


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), max_size=6),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), max_size=5),
    st.lists(Person, max_size=8),
)
def test_the_lists_are_judged_as_naive_loops_judge_them(
    train: list[tuple[int, int]], query: list[tuple[int, int]], gallery: list[tuple[int, int]]
) -> None:
    dataset = ReidDataset(
        "x",
        Path("/none"),
        records("train", train),
        records("query", query),
        records("gallery", gallery),
        layout="csv",
    )
    found = check_dataset(dataset, workers=1).by_kind()

    def subjects(kind: str) -> list[str]:
        return [finding.subject for finding in found.get(kind, [])]

    unmatched = [
        f"query/{i}.jpg"
        for i, (pid, camid) in enumerate(query)
        if not any(p == pid and c != camid for p, c in gallery)
    ]
    assert subjects("no_match") == unmatched
    assert ("nothing" in found) == (len(unmatched) == len(query))
    shared = [p for p in range(1, 7) if any(p == q for q, _ in train)]
    shared = [p for p in shared if any(p == q for q, _ in [*query, *gallery])]
    assert subjects("overlap") == [f"person {p}" for p in shared]
    one = [p for p in range(1, 7) if len({c for q, c in train if q == p}) == 1]
    tested = [
        p
        for p in range(1, 7)
        if any(p == q for q, _ in query) and len({c for q, c in [*query, *gallery] if q == p}) == 1
    ]
    assert subjects("one_camera") == [f"person {p}" for p in [*one, *tested]]
    assert len(subjects("unreadable")) == len(train) + len(query) + len(gallery)
