"""The mean over the images of their extremes: exact, whatever the order of the images."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgereid.calibration.histogram import Histogram, merge
from edgereid.calibration.scheme import INT8, SCHEMES, UINT8, Range
from edgereid.calibration.thresholds import Decision, threshold

IMAGES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 8), st.integers(1, 5)),
    elements=st.floats(-(2.0**99), 2.0**99, width=32) | st.floats(-4, 4, width=32) | st.just(1e-45),
)


@settings(max_examples=80, deadline=None)
@given(IMAGES, st.data())
def test_it_is_the_exact_mean_in_any_order_and_split(
    images: NDArray[np.float32], data: st.DataObject
) -> None:
    order = np.asarray(data.draw(st.permutations(range(len(images)))))
    cut = data.draw(st.integers(0, len(images)))
    parts = []
    for part in (images[order][:cut], images[order][cut:]):
        parts.append(Histogram("t"))
        parts[-1].add(part)
    got = merge(*parts).mean_extremes
    for value, extremes in zip(got, (images.min(axis=1), images.max(axis=1)), strict=True):
        exact = sum((Fraction(float(v)) for v in extremes), Fraction(0)) / len(images)
        assert value == float(exact)


def test_the_range_is_within_what_was_seen_and_holds_zero() -> None:
    h = Histogram("t")
    h.add(np.array([[-1.0, 2.0], [-3.0, 8.0], [0.5, 1.0]], np.float32))
    assert threshold(h, Decision("average"), INT8) == Range((-1 - 3 + 0.5) / 3, 11 / 3)
    above = Histogram("t")
    above.add(np.array([[1.0, 2.0], [3.0, 8.0]], np.float32))
    for scheme in SCHEMES.values():
        assert threshold(above, Decision("average"), scheme) == Range(0.0, 5.0)


def test_one_outlier_among_many_images_hardly_moves_it() -> None:
    images = np.ones((100, 4), np.float32)
    images[7, 2] = 1000
    h = Histogram("t")
    h.add(images)
    assert threshold(h, Decision("average"), UINT8).high == pytest.approx(10.99)
    assert threshold(h, Decision("minmax"), UINT8).high == 1000
