"""Training images: the same bits whatever is cached and however many threads load."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgereid.data.augment import Augmentation
from edgereid.data.market1501 import load_dataset
from edgereid.data.sampler import identity_batches
from edgereid.data.types import ImageRecord
from edgereid.errors import InputError
from edgereid.images import Preprocessing
from edgereid.train.images import LoadedBatch, TrainingImages, load_ahead

VARIED = Augmentation(flip=0.5, zoom=0.1, pad=0.1, erase=0.5, brightness=0.2, gain=0.1)


def load_all(images: TrainingImages, workers: int, first: int = 0) -> list[LoadedBatch]:
    batches = identity_batches(images.labels, 3, 2, seed=1, epoch=4)
    size = Preprocessing(32, 16)
    return list(load_ahead(images, batches, first, 4, 1, VARIED, size, workers))


def test_batches_do_not_depend_on_threads_cache_or_where_loading_began(market: Path) -> None:
    records = load_dataset(market).train
    reference = load_all(TrainingImages(records), workers=1)
    for images, workers in (
        (TrainingImages(records), 3),
        (TrainingImages(records, cache_bytes=0), 2),
        (TrainingImages(records, cache_bytes=4000), 1),
    ):
        for _ in range(2):  # the second round reads what the first has cached
            got = load_all(images, workers)
            assert len(got) == len(reference)
            for a, b in zip(got, reference, strict=True):
                np.testing.assert_array_equal(a.images, b.images)
                np.testing.assert_array_equal(a.labels, b.labels)
    later = load_all(TrainingImages(records), 1, first=2)
    np.testing.assert_array_equal(later[0].images, reference[2].images)


def test_the_cache_stays_within_its_budget(market: Path) -> None:
    one = 32 * 16 * 3
    images = TrainingImages(load_dataset(market).train, cache_bytes=4 * one + 1)
    load_all(images, workers=3)
    assert sum(a.nbytes for a in images._cache.values()) == 4 * one


def test_labels_count_people_in_order_and_leave_out_nobodies(market: Path) -> None:
    records = load_dataset(market).train
    nobody = [replace(records[0], pid=0), replace(records[0], pid=-1)]
    images = TrainingImages([*nobody, *reversed(records)])
    assert images.num_ids == 6
    assert len(images) == len(records)
    pids = np.array([r.pid for r in images.records])
    np.testing.assert_array_equal(images.labels, pids - 1)
    with pytest.raises(InputError, match="show 1 people"):
        TrainingImages([ImageRecord(Path("a.jpg"), 5, 1)])


def test_the_digest_changes_with_a_byte_and_not_with_the_folder(
    market: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(market, copy)

    def digest(root: Path) -> str:
        return TrainingImages(load_dataset(root).train).digest(root)

    assert digest(market) == digest(copy)
    victim = sorted((copy / "bounding_box_train").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    assert digest(market) != digest(copy)


def test_a_corrupt_training_image_is_an_error_that_names_the_file(
    market: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(market, copy)
    victim = sorted((copy / "bounding_box_train").iterdir())[0]
    victim.write_bytes(b"not a picture")
    with pytest.raises(InputError, match=victim.name):
        load_all(TrainingImages(load_dataset(copy).train), workers=2)
