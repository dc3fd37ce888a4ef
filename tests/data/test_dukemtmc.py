"""Reading a copy of DukeMTMC-reID, and refusing what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgereid.data.dukemtmc import load_dukemtmc
from edgereid.errors import InputError


def test_persons_and_cameras_are_those_of_the_names(duke: Path) -> None:
    dataset = load_dukemtmc(duke)
    assert dataset.layout == "dukemtmc"
    assert [(r.pid, r.camid) for r in dataset.train] == [(5, 1), (5, 4)]
    assert [(r.pid, r.camid) for r in dataset.query] == [(1, 2)]


def test_distractors_keep_numbers_of_their_own(duke: Path) -> None:
    assert [(r.pid, r.camid) for r in load_dukemtmc(duke).gallery] == [(1, 1), (7139, 2)]


def test_the_folder_of_the_archive_is_found(duke: Path) -> None:
    inner = duke.rename(duke.with_name("DukeMTMC-reID"))
    assert load_dukemtmc(inner.parent).root == inner


@pytest.mark.parametrize(
    "name", ["0001_c1s1_000451_03.jpg", "-1_c1_f0046182.jpg", "0001_c1_0046182.jpg", "1.jpg"]
)
def test_a_name_of_another_form_is_refused(duke: Path, name: str) -> None:
    (duke / "query" / name).write_bytes(b"")
    with pytest.raises(InputError, match="not a DukeMTMC-reID file name"):
        load_dukemtmc(duke)


def test_a_missing_subset_is_named(duke: Path) -> None:
    (duke / "query").rename(duke / "queries")
    with pytest.raises(InputError, match="is not a DukeMTMC-reID dataset: query not found"):
        load_dukemtmc(duke)
