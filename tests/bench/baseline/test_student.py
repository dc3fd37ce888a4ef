"""Student's t against scipy's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgereid.bench.baseline.student import quantile, tail


@settings(deadline=None)
@given(st.floats(-50, 50), st.integers(1, 60))
def test_the_tail_is_that_of_scipy(t: float, degrees: int) -> None:
    assert tail(t, degrees) == pytest.approx(stats.t.sf(t, degrees), rel=1e-6, abs=1e-13)


@settings(deadline=None)
@given(st.floats(1e-5, 0.5), st.integers(1, 40))
def test_the_quantile_is_that_of_scipy(p: float, degrees: int) -> None:
    # scipy itself is no better than 1e-7 near p = 0.5.
    assert quantile(p, degrees) == pytest.approx(stats.t.isf(p, degrees), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("degrees", "t"), [(1, 6.314), (2, 2.920), (9, 1.833), (19, 1.729)])
def test_the_values_of_the_printed_tables(degrees: int, t: float) -> None:
    assert quantile(0.05, degrees) == pytest.approx(t, abs=5e-4)
