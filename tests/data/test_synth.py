"""The drawn data set: the same bytes from the same seed, a layout that the loader reads."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image

from edgereid.cli import synth as command
from edgereid.data.market1501 import load_market1501
from edgereid.data.synth import DEMO, SynthOptions, synthesise
from edgereid.data.synth.draws import Draws
from edgereid.data.synth.identity import difference, sample_identities
from edgereid.data.synth.scene import Shot, take
from edgereid.data.synth.writer import plan, shot_of, split_identities
from edgereid.errors import EdgeReidError, StorageError, UsageError

SMALL = SynthOptions(
    train_ids=4, test_ids=3, cameras=3, images_per_camera=2, distractors=6, junk=4, seed=5
)
FILE_LIST = "371a16b4d7fdfff8c8dddd4b248c9996ef2e101bc8eb09ca3e2db115481b4b1a"
FIRST_DRAWS = [636, 956, 956, 912, 965]
T = TypeVar("T")


def digest(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth") / "small"
    synthesise(root, SMALL, workers=1)
    return root


def test_two_processes_write_the_bytes_that_one_writes(small: Path, tmp_path: Path) -> None:
    synthesise(tmp_path / "again", SMALL, workers=2)
    assert digest(tmp_path / "again") == digest(small)


def test_an_image_depends_on_its_own_number_only() -> None:
    jobs = plan(SMALL)
    forwards = {job: take(SMALL.seed, shot_of(SMALL, job)) for job in jobs[:6]}
    backwards = {job: take(SMALL.seed, shot_of(SMALL, job)) for job in reversed(jobs[:6])}
    assert forwards == backwards


def test_another_seed_draws_other_people() -> None:
    assert sample_identities(0, 3) != sample_identities(1, 3)


def test_the_loader_reads_the_layout_with_the_promised_counts(small: Path) -> None:
    dataset = load_market1501(small)
    train_ids, test_ids = split_identities(SMALL)
    assert {r.pid for r in dataset.train} == set(train_ids)
    assert {r.pid for r in dataset.query} == set(test_ids)
    assert {r.pid for r in dataset.gallery} == {*test_ids, 0, -1}
    count = Counter(r.pid for r in dataset.gallery)
    assert count[0] == SMALL.distractors
    assert count[-1] == SMALL.junk
    # One query a camera where the identity appears, and the gallery images beside it.
    shown = Counter((r.pid, r.camid) for r in dataset.gallery if r.pid > 0)
    assert {(r.pid, r.camid) for r in dataset.query} == set(shown)
    assert set(shown.values()) == {SMALL.images_per_camera}
    assert {r.camid for r in dataset.gallery} == {1, 2, 3}


def test_nobody_is_both_trained_and_tested_on() -> None:
    train_ids, test_ids = split_identities(DEMO)
    assert not set(train_ids) & set(test_ids)
    assert sorted((*train_ids, *test_ids)) == list(range(1, 471))


def test_images_are_colour_and_64_by_128(small: Path) -> None:
    for path in sorted(small.rglob("*.jpg")):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (64, 128))


def test_the_file_list_of_the_built_in_task_is_fixed() -> None:
    jobs = plan(DEMO)
    folders = Counter(job.folder for job in jobs)
    assert folders == {"bounding_box_train": 5124, "query": 439, "bounding_box_test": 2306}
    names = "\n".join(job.name for job in jobs)
    assert len(set(names.split("\n"))) == len(jobs)
    assert hashlib.sha256(names.encode()).hexdigest() == FILE_LIST


def test_every_person_passes_at_least_two_cameras() -> None:
    options = SynthOptions(train_ids=60, test_ids=60, cameras=2, seed=3)
    passed = {(job.pid, job.camera) for job in plan(options) if job.pid > 0}
    assert set(Counter(pid for pid, _ in passed).values()) == {2}


def test_any_two_of_the_built_in_people_differ_in_three_visible_attributes() -> None:
    people = [who.looks for who in sample_identities(DEMO.seed, 200)]
    for i, one in enumerate(people):
        assert all(difference(one, other) >= 3 for other in people[:i])


def test_more_people_of_a_seed_start_with_the_same_people() -> None:
    assert sample_identities(7, 12)[:5] == sample_identities(7, 5)


def test_random_numbers_are_those_of_the_published_generator() -> None:
    draws = Draws(0, 6, 1, 2, 3)
    assert [draws.below(1000) for _ in range(5)] == FIRST_DRAWS


def test_noise_has_mean_zero_and_deviation_one() -> None:
    noise = Draws(1).noise(200, 301)
    assert noise.shape == (200, 301)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1.0) < 0.02


def test_a_person_looks_different_from_the_front_and_from_behind() -> None:
    who = next(w for w in sample_identities(0, 50) if w.looks.bag == "backpack")
    images = [
        np.asarray(Image.open(io.BytesIO(take(0, Shot(9, who, camera, 0)))), dtype=np.int16)
        for camera in (1, 2)
    ]
    assert np.abs(images[0] - images[1]).mean() > 10


WRONG = {
    "one camera": {"cameras": 1},
    "ten cameras": {"cameras": 10},
    "no identity to train on": {"train_ids": 0},
    "more identities than four digits": {"train_ids": 9000, "test_ids": 1000},
    "a negative seed": {"seed": -1},
}


@pytest.mark.parametrize("case", WRONG)
def test_options_out_of_range_are_refused(case: str) -> None:
    with pytest.raises(UsageError, match=r"must be between|at most"):
        SynthOptions(**WRONG[case])


def test_the_default_size_is_the_built_in_task() -> None:
    assert SynthOptions.sized(ids=470, cameras=4, seed=0) == DEMO


@pytest.mark.parametrize(("ids", "test_ids"), [(1, None), (5, 5), (5, 0)])
def test_a_split_that_leaves_a_side_empty_is_refused(ids: int, test_ids: int | None) -> None:
    with pytest.raises(UsageError):
        SynthOptions.sized(ids, 4, 0, test_ids)


def test_the_same_data_set_is_left_alone(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert synthesise(small, SMALL, workers=1).existed
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_a_folder_with_anything_else_is_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a new or empty folder"):
        synthesise(small, SynthOptions(train_ids=4, test_ids=3, seed=6), workers=1)
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError):
        synthesise(tmp_path, SMALL, workers=1)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def breaks(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(tmp_path / "out", SMALL, workers=1, progress=breaks)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        synthesise(tmp_path / "file" / "out", SMALL, workers=1)


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(words)


def test_the_command_reports_counts_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (str(tmp_path / "d"), "--ids", "4", "--cameras", "2", "--workers", "1", "--json")
    assert command.run(parse(*words)) == 0
    first = json.loads(capsys.readouterr().out)
    dataset = load_market1501(tmp_path / "d")
    assert first["images"] == {
        "train": len(dataset.train), "query": len(dataset.query), "gallery": len(dataset.gallery),
    }  # fmt: skip
    assert (first["existed"], first["train_ids"], first["test_ids"]) == (False, 3, 1)
    assert command.run(parse(*words)) == 0
    assert json.loads(capsys.readouterr().out)["existed"]


def test_the_command_refuses_one_identity(tmp_path: Path) -> None:
    with pytest.raises(EdgeReidError, match="at least 2"):
        command.run(parse(str(tmp_path / "d"), "--ids", "1"))
