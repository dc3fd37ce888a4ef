"""The compiled kernels through Python: the same results as NumPy, wrong arrays refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgereid.errors import InputError
from edgereid.native import histogram_add, match_ranks, min_max

floats = st.floats(width=32, allow_nan=False)


@settings(deadline=None, max_examples=200)
@given(
    arrays(np.float32, st.integers(0, 60), elements=floats), st.integers(1, 9), st.floats(0.01, 50)
)
def test_a_histogram_is_what_floor_and_clip_give(
    values: np.ndarray, half: int, inverse_width: float
) -> None:
    counts = np.full(2 * half, 3, dtype=np.int64)
    histogram_add(values, counts, inverse_width)
    with np.errstate(over="ignore"):
        bins = np.floor(values * np.float32(inverse_width)) + half
    bins = np.clip(bins, 0, 2 * half - 1).astype(np.int64)
    assert counts.tolist() == (3 + np.bincount(bins, minlength=2 * half)).tolist()


def test_a_histogram_of_parts_is_the_histogram_of_the_whole() -> None:
    values = np.random.default_rng(0).normal(size=100_003).astype(np.float32)
    whole, parts = np.zeros((2, 4096), dtype=np.int64)
    histogram_add(values, whole, 400.0)
    for part in np.array_split(values, 7):
        histogram_add(part, parts, 400.0)
    assert whole.sum() == len(values)
    np.testing.assert_array_equal(whole, parts)


def test_a_value_on_the_upper_edge_falls_in_the_last_bin() -> None:
    counts = np.zeros(4, dtype=np.int64)
    histogram_add(np.array([-1, -0.5, 0, 0.5, 1], dtype=np.float32), counts, 2.0)
    assert counts.tolist() == [1, 1, 1, 2]


def test_nan_is_refused_and_nothing_is_counted() -> None:
    counts = np.zeros(4, dtype=np.int64)
    with pytest.raises(InputError, match="NaN"):
        histogram_add(np.array([0, np.nan], dtype=np.float32), counts, 2.0)
    assert not counts.any()


@settings(deadline=None, max_examples=200)
@given(arrays(np.float32, st.integers(0, 60), elements=st.floats(width=32)))
def test_the_range_is_that_of_the_finite_values(values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    low, high, nonfinite = min_max(values)
    assert nonfinite == len(values) - len(finite)
    assert low == (finite.min() if len(finite) else np.inf)
    assert high == (finite.max() if len(finite) else -np.inf)


ONE = np.zeros(1, dtype=np.float32)
TWO = np.zeros(2, dtype=np.int64)
REFUSED: list[tuple[str, Any, tuple[Any, ...], type[Exception]]] = [
    ("float64", min_max, (np.zeros(3),), TypeError),
    ("two dimensions", min_max, (np.zeros((3, 3), dtype=np.float32),), TypeError),
    ("strided", min_max, (np.zeros(6, dtype=np.float32)[::2],), TypeError),
    ("odd number of bins", histogram_add, (ONE, np.zeros(3, dtype=np.int64), 1.0), ValueError),
    ("no bins", histogram_add, (ONE, np.zeros(0, dtype=np.int64), 1.0), ValueError),
    ("int32 counts", histogram_add, (ONE, TWO.astype(np.int32), 1.0), TypeError),
    ("width zero", histogram_add, (ONE, TWO, float("inf")), ValueError),
    ("negative width", histogram_add, (ONE, TWO, -1.0), ValueError),
    ("width NaN", histogram_add, (ONE, TWO, float("nan")), ValueError),
]


@pytest.mark.parametrize(
    ("function", "arguments", "error"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_an_array_that_does_not_fit_is_refused_not_converted(
    function: Any, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        function(*arguments)


@pytest.mark.parametrize(
    ("offsets", "indices"),
    [
        ([0, 1], [0]),
        ([0, 1, 2], [0, 3]),
        ([0, 1, 2], [-1, 0]),
        ([0, 2, 1], [0, 1]),
        ([0, 0, 1], [0, 1]),
    ],
)
def test_lists_that_point_outside_the_matrix_are_refused(
    offsets: list[int], indices: list[int]
) -> None:
    distances = np.zeros((2, 3), dtype=np.float32)
    none = np.zeros(3, dtype=np.int64), np.zeros(0, dtype=np.int64)
    bad = np.array(offsets, dtype=np.int64), np.array(indices, dtype=np.int64)
    assert len(match_ranks(distances, *none, *none, threads=1)) == 0
    with pytest.raises(ValueError, match="index lists"):
        match_ranks(distances, *bad, *none, threads=1)
    with pytest.raises(ValueError, match="index lists"):
        match_ranks(distances, *none, *bad, threads=1)


def test_kernels_may_run_in_several_python_threads_at_once() -> None:
    values = np.random.default_rng(0).normal(size=300_000).astype(np.float32)
    results = np.zeros((4, 512), dtype=np.int64)
    threads = [threading.Thread(target=histogram_add, args=(values, r, 50.0)) for r in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (results == results[0]).all()
    assert results[0].sum() == len(values)


def test_without_the_extension_the_import_says_how_to_build_it() -> None:
    code = (
        "import sys; sys.modules['edgereid.native._kernels'] = None\n"
        "from edgereid.errors import MissingRuntimeError\n"
        "try:\n    import edgereid.retrieval\n"
        "except MissingRuntimeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install ." in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1
