"""Loading and running: order, constant batch size, bounded memory, errors that name the file."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.errors import InputError, UsageError
from edgereid.evaluation import loading
from edgereid.evaluation.extract import Extraction, batch_keys, extract, extract_paths
from edgereid.evaluation.loading import Image, digests, load
from edgereid.evaluation.subject import Subject, embed, place_free
from edgereid.images import Preprocessing, load_batch


@pytest.mark.parametrize("batch", [1, 4, 25, 100])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("fixed", [None, 4])
def test_features_are_those_of_the_images_one_by_one_in_order(
    crops: list[Path],
    batch: int,
    workers: int,
    fixed: int | None,
    law_engine: Any,
    laws: Any,
    small: Preprocessing,
) -> None:
    stripes = laws["stripes"]
    engine = law_engine(batch=fixed)
    found = extract_paths(Subject(engine, small), crops, Extraction(batch, workers))
    expected = np.concatenate([stripes(load_batch([path], small)) for path in crops])
    assert np.array_equal(found, expected)
    assert {len(b) for b in engine.seen} == {fixed or batch}  # the last batch is filled up


def test_flipped_features_are_the_mean_over_the_image_and_its_mirror_image(
    crops: list[Path], law_engine: Any, laws: Any, small: Preprocessing
) -> None:
    stripes = laws["stripes"]
    subject = Subject(law_engine(), small)
    found = extract_paths(subject, crops, Extraction(4, 2, flip=True))
    batch = load_batch(crops, small)
    mirrored = batch[:, :, :, ::-1]
    expected = (stripes(batch).astype(float) + stripes(mirrored).astype(float)) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    halves = found.reshape(-1, 3, 4, 2)
    # Left and right cannot be told apart, but for rounding.
    np.testing.assert_allclose(halves[..., 0], halves[..., 1], rtol=1e-6)


def test_a_batch_of_another_size_than_the_engines_is_filled_up_and_cut_back(
    law_engine: Any, laws: Any
) -> None:
    stripes = laws["stripes"]
    batch = np.random.default_rng(0).random((10, 3, 16, 8)).astype(np.float32)
    fixed = law_engine(batch=4)
    assert np.array_equal(embed(fixed, batch), stripes(batch))
    assert np.array_equal(embed(fixed, batch[:1]), stripes(batch[:1]))


def test_batches_are_buffers_that_are_used_again(crops: list[Path], small: Preprocessing) -> None:
    seen = [batch.ctypes.data for batch, _ in load([Image(p) for p in crops], small, 2, 2)]
    assert len(seen) == 13
    assert len(set(seen)) <= loading.DEPTH + 1


def test_loading_does_not_run_ahead_of_the_engine(
    crops: list[Path], monkeypatch: pytest.MonkeyPatch, small: Preprocessing
) -> None:
    begun, lock, real = [0], threading.Lock(), loading._pixels

    def counted(*arguments: object) -> object:
        with lock:
            begun[0] += 1
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "_pixels", counted)
    images = [Image(p) for p in crops]
    for taken, _ in enumerate(load(images, small, 1, 2), start=1):
        time.sleep(0.002)
        assert begun[0] <= taken + loading.DEPTH


def test_a_file_that_cannot_be_decoded_is_named_and_leaves_no_thread(
    crops: list[Path], law_engine: Any, small: Preprocessing
) -> None:
    crops[17].write_bytes(b"no image")
    before = threading.active_count()
    with pytest.raises(InputError, match=r"17\.png is not an image"):
        extract_paths(Subject(law_engine(), small), crops, Extraction(2, 3))
    assert threading.active_count() == before


def test_a_failing_engine_ends_the_threads_that_decode(
    crops: list[Path], law_engine: Any, small: Preprocessing
) -> None:
    def broken(batch: np.ndarray) -> np.ndarray:
        raise InputError("out of order")

    before = threading.active_count()
    with pytest.raises(InputError, match="out of order"):
        extract_paths(Subject(law_engine(broken), small), crops, Extraction(2, 3))
    assert threading.active_count() == before


def test_digests_are_those_of_the_bytes_and_a_changed_file_is_refused(
    crops: list[Path], law_engine: Any, small: Preprocessing
) -> None:
    found = digests(crops, workers=2)
    assert found == [hashlib.sha256(path.read_bytes()).digest() for path in crops]
    images = [Image(*pair) for pair in zip(crops, found, strict=True)]
    crops[3].write_bytes(crops[4].read_bytes())
    with pytest.raises(InputError, match=r"03\.png was changed"):
        extract(Subject(law_engine(), small), images, Extraction(4))


def test_a_missing_file_is_named(crops: list[Path]) -> None:
    crops[2].unlink()
    with pytest.raises(InputError, match=r"02\.png"):
        digests(crops, 1)


@pytest.mark.parametrize(
    ("law", "free"), [("stripes", True), ("of the batch", False), ("of the place", False)]
)
def test_an_engine_is_asked_whether_features_depend_on_the_image_alone(
    law: str, free: bool, law_engine: Any, laws: Any, small: Preprocessing
) -> None:
    assert place_free(Subject(law_engine(laws[law]), small), 4) == free
    assert place_free(Subject(law_engine(laws[law]), small), 1)


def test_keys_of_batches_tell_batch_and_place_apart() -> None:
    images = [bytes([i]) * 32 for i in range(8)]
    keys = batch_keys(images, 4)
    assert len(set(keys)) == 8
    assert {len(k) for k in keys} == {32}
    assert keys[:4] == batch_keys(images[:4], 4)  # a batch does not depend on the next one
    assert not set(keys) & set(batch_keys(images[1:], 4))
    assert not set(keys) & set(images)


@pytest.mark.parametrize("arguments", [(0,), (1025,), (16, 0), (16, 257)])
def test_impossible_settings_are_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        Extraction(*arguments)
