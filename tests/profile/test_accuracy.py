"""The published figures, and the records of shipped weights."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from edgereid.errors import InputError
from edgereid.models.registry import entry
from edgereid.profile.accuracy import PAPERS, PUBLISHED, measured, shipped_weights

RECORD = {
    "network": "dslnet",
    "evaluation": {"rank1": 0.5, "map": 0.25, "queries": 7, "gallery": 9},
}


def test_a_published_row_names_a_paper_once_and_a_network_that_exists() -> None:
    assert {row.paper for row in PUBLISHED} == set(PAPERS)
    assert max(Counter((row.label, row.paper) for row in PUBLISHED).values()) == 1
    for row in PUBLISHED:
        assert row.network is None or entry(row.network).published is not None
        assert 0 < row.mean_ap < row.rank1 <= 100


@pytest.mark.parametrize(
    ("label", "rank1", "mean_ap", "parameters"),
    [
        ("DSLNet, from scratch", 94.0, 83.9, 1.9e6),
        ("DSLNet, E-TriHard", 95.1, 87.3, 1.9e6),
        ("Robust-ReID 1x", 95.8, 88.7, 2.9e6),
        ("Robust-ReID 2x", 96.2, 89.7, 6.4e6),
        ("MGN", 95.7, 86.9, None),
        ("ResNeSt-50", 96.1, 88.2, None),
        ("SA-MBN", 93.8, 80.8, None),
    ],
)
def test_the_papers_own_results_are_as_printed(
    label: str, rank1: float, mean_ap: float, parameters: float | None
) -> None:
    (row,) = (row for row in PUBLISHED if row.label == label)
    assert (row.rank1, row.mean_ap, row.parameters) == (rank1, mean_ap, parameters)


def test_rows_that_name_a_registered_network_print_its_registered_parameters() -> None:
    for row in PUBLISHED:
        if row.network is not None and row.parameters is not None:
            published = entry(row.network).published
            assert published is not None
            assert published.parameters == row.parameters


def test_shipped_weights_are_read_as_their_records_say() -> None:
    found = {m.network: m for m in measured(shipped_weights())}
    for file in shipped_weights().glob("*.json"):
        record = json.loads(file.read_text())
        ours = found[record["network"]]
        assert ours.rank1 == pytest.approx(100 * record["evaluation"]["rank1"])
        assert ours.mean_ap == pytest.approx(100 * record["evaluation"]["map"])
    assert "dslnet" in found


@pytest.mark.parametrize(
    "record",
    [
        [],
        {},
        {"network": "dslnet"},
        {"network": "dslnet", "evaluation": None},
        {"network": "dslnet", "evaluation": {**RECORD["evaluation"], "rank1": "high"}},
        {"network": "dslnet", "evaluation": {"rank1": 0.5, "map": 0.25, "queries": 7}},
    ],
    ids=str,
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, record: object) -> None:
    (tmp_path / "a.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"a\.json is no training record"):
        measured(tmp_path)


def test_records_are_read_in_the_order_of_their_networks(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**RECORD, "network": "mgn"}))
    (tmp_path / "b.json").write_text(json.dumps(RECORD))
    first, second = measured(tmp_path)
    assert (first.network, second.network) == ("dslnet", "mgn")
    assert (first.rank1, first.mean_ap, first.queries, first.gallery) == (50.0, 25.0, 7, 9)
