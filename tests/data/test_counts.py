"""Counts of a dataset, and where they differ from the printed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgereid.data.counts import OFFICIAL, Counts, count, count_subsets, differences, official
from edgereid.data.market1501 import load_market1501
from edgereid.data.types import LAYOUT_NAMES, ImageRecord, ReidDataset

#: Images in all as the datasets' own pages print them: an independent sum of the table's rows.
TOTALS = {
    "market1501": 32_668 + 3_368,  # the page counts the queries apart
    "dukemtmc": 36_411,
    "cuhk03-labeled": 14_096,
    "cuhk03-detected": 14_097,
    "msmt17-v1": 126_441,
    "msmt17-v2": 126_441,
}


def full_size(layout: str) -> ReidDataset:
    """A dataset of exactly the official size, of records without files."""

    def subset(name: str, first: int) -> tuple[ImageRecord, ...]:
        images, persons = OFFICIAL[layout].subsets[name]
        cameras = OFFICIAL[layout].cameras or 10
        return tuple(
            ImageRecord(Path(f"{name}{i}.jpg"), first + i % persons, 1 + i % cameras)
            for i in range(images)
        )

    train, query, gallery = subset("train", 1), subset("query", 9001), subset("gallery", 9001)
    return ReidDataset(layout, Path("/none"), train, query, gallery, layout=layout)


@pytest.mark.parametrize("layout", TOTALS)
def test_a_dataset_of_the_official_size_differs_in_nothing(layout: str) -> None:
    dataset = full_size(layout)
    assert differences(dataset) == ()
    assert sum(c.images for c in count_subsets(dataset).values()) == TOTALS[layout]


def test_every_layout_but_the_plain_table_has_official_counts() -> None:
    assert {*OFFICIAL, "csv"} == set(LAYOUT_NAMES)


def test_distractors_and_junk_are_images_but_no_persons() -> None:
    rows = [(1, 1), (1, 2), (2, 1), (0, 3), (0, 3), (-1, 1)]
    counted = count(ImageRecord(Path("x"), pid, camid) for pid, camid in rows)
    assert counted == Counts(images=6, persons=2, cameras=3, distractors=2, junk=1)


def test_each_difference_is_said(market: Path) -> None:
    found = differences(load_market1501(market))
    assert found == (
        "train has 2 images, officially 12,936",
        "train has 1 persons, officially 751",
        "query has 1 images, officially 3,368",
        "query has 1 persons, officially 750",
        "gallery has 3 images, officially 19,732",
        "gallery has 1 persons, officially 750",
        "4 cameras, officially 6",
    )


def test_drawn_data_in_the_same_layout_is_not_compared(market: Path) -> None:
    (market / "synth.json").write_text("{}")
    dataset = load_market1501(market)
    assert official(dataset) is None
    assert differences(dataset) == ()


def test_an_empty_multi_query_set_is_not_counted(market: Path) -> None:
    assert list(count_subsets(load_market1501(market))) == [
        "train",
        "query",
        "gallery",
        "multi_query",
    ]
    assert "multi_query" not in count_subsets(full_size("dukemtmc"))
