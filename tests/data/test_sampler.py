"""Batches: complete, deterministic, with P different people of K images each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.data.sampler import identity_batches, shuffled_batches
from edgereid.errors import InputError

COUNTS = st.lists(st.integers(1, 13), min_size=3, max_size=12)


def labels_of(counts: list[int], seed: int = 0) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


@settings(max_examples=80, deadline=None)
@given(
    counts=COUNTS, identities=st.integers(1, 3), images=st.integers(1, 5), seed=st.integers(0, 99)
)
def test_every_batch_has_p_people_with_k_images_and_every_image_is_visited(
    counts: list[int], identities: int, images: int, seed: int
) -> None:
    labels = labels_of(counts)
    batches = identity_batches(labels, identities, images, seed, epoch=3)
    for batch in batches:
        people, times = np.unique(labels[batch], return_counts=True)
        assert len(people) == identities
        assert set(times) == {images}
    assert set(np.concatenate(batches)) == set(range(len(labels)))


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(4, 13), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_an_image_is_not_repeated_within_a_batch_of_a_person_with_enough_images(
    counts: list[int], seed: int
) -> None:
    for batch in identity_batches(labels_of(counts), 2, 4, seed, epoch=0):
        assert len(set(batch)) == len(batch)


def test_an_epoch_of_equal_people_has_no_filling() -> None:
    batches = identity_batches(labels_of([8] * 12), identities=4, images=4, seed=1, epoch=0)
    flat = np.concatenate(batches)
    # 24 groups in batches of 4 different people: at best 6 batches, at worst one or two more
    assert 6 <= len(batches) <= 8
    assert len(set(flat)) == 96


def test_a_person_with_few_images_is_repeated() -> None:
    batches = identity_batches([0, 1, 1, 1, 1], identities=2, images=4, seed=0, epoch=0)
    assert len(batches) == 1
    assert sorted(batches[0]) == [0, 0, 0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("make", [identity_batches, None])
def test_batches_are_a_function_of_seed_and_epoch(make: object) -> None:
    def batches(seed: int, epoch: int) -> list[list[int]]:
        if make is None:
            got = shuffled_batches(40, 8, seed, epoch)
        else:
            got = identity_batches(labels_of([5] * 8), 2, 4, seed, epoch)
        return [b.tolist() for b in got]

    assert batches(1, 2) == batches(1, 2)
    assert batches(1, 2) != batches(1, 3)
    assert batches(1, 2) != batches(2, 2)


@settings(max_examples=30, deadline=None)
@given(images=st.integers(4, 60), size=st.integers(1, 4), seed=st.integers(0, 9))
def test_shuffled_batches_are_full_and_show_an_image_at_most_once(
    images: int, size: int, seed: int
) -> None:
    batches = shuffled_batches(images, size, seed, 0)
    flat = np.concatenate(batches)
    assert {len(b) for b in batches} == {size}
    assert len(set(flat)) == len(flat) == images - images % size


def test_too_few_people_or_images_are_an_error_that_says_what_to_set() -> None:
    with pytest.raises(InputError, match="Set identities=2 or less"):
        identity_batches([0, 0, 1, 1], identities=3, images=2, seed=0, epoch=0)
    with pytest.raises(InputError, match="3 training images do not fill"):
        shuffled_batches(3, 4, 0, 0)
