"""The histogram depends on the values alone, and counts them exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgereid.calibration.histogram import HALF, MIN_EXPONENT, Histogram, merge
from edgereid.errors import InputError

FLOATS = hnp.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.floats(-(2.0**99), 2.0**99, width=32) | st.floats(-4, 4, width=32) | st.just(0.0),
)


def of(*parts: NDArray[np.float32]) -> Histogram:
    h = Histogram("t")
    for part in parts:
        h.add(part)
    return h


def state(h: Histogram) -> tuple[object, ...]:
    return h.exponent, h.low, h.high, h.count, h.counts.tobytes()


@settings(max_examples=60, deadline=None)
@given(FLOATS, st.data())
def test_order_batches_and_shards_make_no_difference(
    values: NDArray[np.float32], data: st.DataObject
) -> None:
    whole = state(of(values))
    cut = data.draw(st.integers(0, len(values)))
    order = np.asarray(data.draw(st.permutations(range(len(values)))))
    assert state(of(values[order])) == whole
    assert state(of(values[:cut], values[cut:])) == whole
    assert state(of(*values.reshape(-1, 1))) == whole
    left, right = of(values[:cut]), of(values[cut:])
    assert state(merge(left, right)) == whole
    assert state(merge(right, left)) == whole


@settings(max_examples=60, deadline=None)
@given(FLOATS)
def test_counts_are_those_of_numpy_over_the_same_edges(values: NDArray[np.float32]) -> None:
    h = of(values)
    index = np.searchsorted(h.edges, values.astype(np.float64), side="right") - 1
    assert np.array_equal(h.counts, np.bincount(index, minlength=2 * HALF))
    assert (h.low, h.high, h.count) == (values.min(), values.max(), len(values))


@settings(max_examples=60, deadline=None)
@given(FLOATS)
def test_the_bins_are_the_narrowest_that_hold_every_value(values: NDArray[np.float32]) -> None:
    h, peak = of(values), float(np.abs(values).max())
    assert peak < HALF * h.width
    assert h.exponent == MIN_EXPONENT or peak >= HALF * h.width / 2
    assert math.log2(h.width) == h.exponent


def test_a_range_that_grows_keeps_what_was_counted() -> None:
    h = of(np.array([0.1, 0.2, -0.3], np.float32))
    h.add(np.array([1e9], np.float32))
    assert (h.counts.sum(), h.counts[HALF], h.counts[HALF - 1]) == (4, 2, 1)


def test_merging_leaves_its_arguments_as_they_were() -> None:
    a, b = of(np.ones(3, np.float32)), of(np.full(2, 1e6, np.float32))
    before = state(a), state(b)
    merge(a, b)
    assert (state(a), state(b)) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_by_the_tensors_name(bad: float) -> None:
    h = Histogram("s1.0/Add")
    h.add(np.ones(4, np.float32))
    before = state(h)
    with pytest.raises(InputError, match=r"'s1\.0/Add'.*1 of 3 values"):
        h.add(np.array([1, bad, 100], np.float32))
    assert state(h) == before


def test_any_shape_is_counted_and_an_empty_batch_changes_nothing() -> None:
    h = of(np.zeros((2, 3, 4), np.float32), np.empty((0, 3), np.float32))
    assert (h.count, h.counts[HALF], h.exponent) == (24, 24, MIN_EXPONENT)


def test_histograms_of_two_tensors_do_not_merge() -> None:
    with pytest.raises(InputError, match="'a' and 'b'"):
        merge(Histogram("a"), Histogram("b"))
