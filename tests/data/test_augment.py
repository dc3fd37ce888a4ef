"""Augmentations: each one alone, against what it must do to a known image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgereid.data.augment import (
    Augmentation,
    augment,
    colour_table,
    erase,
    generator,
    shift,
    zoom_box,
)
from edgereid.images import Preprocessing, normalise, resize

SIZE = Preprocessing(32, 16)
NONE = Augmentation(flip=0.0)
ALL = Augmentation(flip=0.5, zoom=0.2, pad=0.1, erase=0.5, brightness=0.3, contrast=0.3, gain=0.2)


def picture(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 12, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_without_variation_the_result_is_the_plain_preprocessing(color: str) -> None:
    preprocessing = Preprocessing(32, 16, color=color)
    plain = normalise(resize(picture(), preprocessing), preprocessing)
    got = augment(picture(), NONE, preprocessing, generator(0, 0, 0))
    np.testing.assert_allclose(got.transpose(2, 0, 1), plain, atol=1e-5)


def test_a_certain_flip_mirrors_the_image() -> None:
    plain = augment(picture(), NONE, SIZE, generator(0, 0, 0))
    flipped = augment(picture(), Augmentation(flip=1.0), SIZE, generator(0, 0, 0))
    np.testing.assert_array_equal(flipped, plain[:, ::-1])


def test_the_same_place_in_the_run_gives_the_same_image_and_another_place_another() -> None:
    def at(seed: int, epoch: int, position: int) -> bytes:
        return augment(picture(), ALL, SIZE, generator(seed, epoch, position)).tobytes()

    assert at(1, 2, 3) == at(1, 2, 3)
    assert len({at(1, 2, 3), at(0, 2, 3), at(1, 0, 3), at(1, 2, 0)}) == 4


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(4, 40), width=st.integers(4, 40))
def test_erasing_changes_one_rectangle_of_the_asked_area_and_aspect(
    seed: int, height: int, width: int
) -> None:
    options = Augmentation(erase=1.0)
    x = np.full((height, width, 3), 99.0, dtype=np.float32)
    erase(x, options, np.random.default_rng(seed))
    changed = (x != 99.0).any(2)
    if not changed.any():
        return  # nothing fitted in ten tries: allowed
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    h, w = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    assert changed.sum() == h * w
    assert len(np.unique(x[changed], axis=0)) == 1
    # rounding the two sides to whole pixels moves the area by at most (h + w) / 2 + 1/4
    slack = (h + w) / 2 + 0.25
    assert 0.02 * height * width - slack <= h * w <= 0.4 * height * width + slack
    assert (h + 0.5) / (w - 0.5) >= 0.3
    assert (h - 0.5) / (w + 0.5) <= 3.3


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), pad=st.integers(0, 12))
def test_shifting_moves_the_image_and_fills_with_the_mean_colour(seed: int, pad: int) -> None:
    x = np.random.default_rng(1).normal(size=(10, 6, 3)).astype(np.float32)
    got = shift(x, pad, np.random.default_rng(seed))
    padded = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    windows = [
        padded[i : i + 10, j : j + 6] for i in range(2 * pad + 1) for j in range(2 * pad + 1)
    ]
    assert any(np.array_equal(got, w) for w in windows)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), zoom=st.floats(0, 1))
def test_the_zoom_window_lies_inside_and_has_the_asked_size(seed: int, zoom: float) -> None:
    left, top, right, bottom = zoom_box(64, 128, zoom, np.random.default_rng(seed))
    assert 0 <= left < right <= 64 + 1e-9
    assert 0 <= top < bottom <= 128 + 1e-9
    assert right - left == pytest.approx(64 / (1 + zoom))
    assert bottom - top == pytest.approx(128 / (1 + zoom))


def test_brightness_alone_scales_all_channels_alike() -> None:
    plain = Preprocessing(4, 4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    table = colour_table(0.5, Augmentation(brightness=0.2), plain, np.random.default_rng(0))
    factor = table[:, 100] / (100 / 255)
    assert np.ptp(factor) < 1e-6
    assert 0.8 <= factor[0] <= 1.2
    assert factor[0] != pytest.approx(1.0)


def test_contrast_keeps_the_mean_level_and_gain_separates_the_channels() -> None:
    plain = Preprocessing(4, 4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    rng = np.random.default_rng(0)
    contrast = colour_table(100 / 255, Augmentation(contrast=0.5), plain, rng)
    assert contrast[:, 100] == pytest.approx([100 / 255] * 3, abs=1e-6)
    assert contrast[0, 120] - contrast[0, 80] != pytest.approx(40 / 255)
    gain = colour_table(0.5, Augmentation(gain=0.3), plain, rng)
    assert len(set(gain[:, 100].tolist())) == 3
