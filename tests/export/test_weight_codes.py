"""Weights as integers: within half a step, the best of many clips, refused where they misfit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgereid.errors import InputError
from edgereid.export.weight_codes import WeightCodes, minmax, mse

WEIGHTS = hnp.arrays(np.float32, (3, 2, 2), elements=st.floats(-100, 100, width=32))


@given(WEIGHTS)
def test_a_weight_is_within_half_a_step_of_its_integer(weight: np.ndarray) -> None:
    for axis in range(3):
        codes = minmax(weight, axis)
        shape = [1] * 3
        shape[axis] = -1
        steps = codes.scale.reshape(shape)
        back = codes.integers.astype(np.float64) * steps
        assert (np.abs(back - weight) <= steps * 0.5001).all()
        assert codes.integers.min() >= -127
        np.testing.assert_allclose(codes.values(), back, rtol=1e-6)


@pytest.mark.parametrize("choose", [minmax, mse])
def test_a_channel_of_zeros_stays_zero(choose) -> None:  # type: ignore[no-untyped-def]
    codes = choose(np.zeros((2, 3, 1, 1), np.float32), 0)
    assert not codes.integers.any()
    assert (codes.scale > 0).all()


def squared_error(channel: np.ndarray, clip: float) -> float:
    """Brute force: every weight on the grid of one clip, in double precision."""
    scale = float(np.float32(clip / 127))
    levels = [max(-127, min(127, round(float(v) / scale))) for v in channel]
    return sum((n * scale - float(v)) ** 2 for n, v in zip(levels, channel, strict=True))


def test_mse_scales_are_the_best_of_the_clips_by_brute_force_channel_by_channel() -> None:
    rng = np.random.default_rng(0)
    weight = (rng.standard_t(2, size=(4, 300)) * [[1.0], [0.1], [30.0], [1.0]]).astype(np.float32)
    codes = mse(weight, 0)
    for channel, scale in zip(weight, codes.scale, strict=True):
        clips = np.abs(channel).max() * np.linspace(1, 0.5, 26)
        best = min(squared_error(channel, c) for c in clips)
        assert squared_error(channel, float(scale) * 127) == pytest.approx(best, rel=1e-3)


@given(WEIGHTS)
def test_mse_is_never_worse_than_minmax_in_any_channel(weight: np.ndarray) -> None:
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        a, b = (
            ((c(weight, axis).values().astype(np.float64) - weight) ** 2).sum(axis=others)
            for c in (mse, minmax)
        )
        assert (a <= b).all()


@pytest.mark.parametrize(
    ("integers", "scale", "axis", "message"),
    [
        (np.zeros((2, 3), np.int8), np.ones(3, np.float32), 0, "one scale for each index"),
        (np.zeros((2, 3), np.int8), np.ones(3, np.float32), 2, "axis 2"),
        (np.zeros((2, 3), np.int32), np.ones(2, np.float32), 0, "int32"),
        (np.zeros((2, 3), np.int8), np.ones(2), 0, "float64"),
        (np.full((2, 3), -128, np.int8), np.ones(2, np.float32), 0, "-128"),
        (np.zeros((2, 3), np.int8), np.zeros(2, np.float32), 0, "above zero"),
        (np.zeros((2, 3), np.int8), np.full(2, np.nan, np.float32), 0, "finite"),
    ],
)
def test_codes_that_do_not_fit_are_refused(
    integers: np.ndarray, scale: np.ndarray, axis: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        WeightCodes(integers, scale, axis)
