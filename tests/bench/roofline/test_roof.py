"""The roofline's arithmetic against closed forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.roofline.roof import COMPUTE, MEMORY, Roof, stand

positive = st.floats(1e-3, 1e12)
ROOF = Roof(peak=100e9, bandwidth=20e9)


def test_the_ridge_lies_where_both_bounds_meet() -> None:
    assert ROOF.ridge == 5.0
    assert ROOF.rate(5.0) == 100e9
    assert ROOF.rate(0.5) == 10e9
    assert ROOF.rate(50.0) == 100e9


@pytest.mark.parametrize(
    ("macs", "nbytes", "seconds", "bound"),
    [
        (200e9, 1e9, 2.0, COMPUTE),
        (1e9, 60e9, 3.0, MEMORY),
        (0, 20e9, 1.0, MEMORY),
        (100e9, 0, 1.0, COMPUTE),
    ],
)
def test_the_slower_of_arithmetic_and_traffic_is_the_bound(
    macs: float, nbytes: float, seconds: float, bound: str
) -> None:
    assert ROOF.seconds(macs, nbytes) == seconds
    assert ROOF.bound(macs, nbytes) == bound


def test_a_step_that_takes_twice_its_roof_could_gain_half_its_time() -> None:
    standing = stand(4.0, macs=200e9, nbytes=1e9, roof=ROOF)
    assert standing.at_roof == standing.to_gain == 2.0
    assert standing.peak_share == standing.roof_share == 0.5
    assert (standing.rate, standing.intensity) == (50e9, 200.0)


def test_a_step_faster_than_the_roof_shows_it_and_has_nothing_to_gain() -> None:
    standing = stand(1.0, macs=200e9, nbytes=1e9, roof=ROOF)
    assert standing.peak_share == 2.0
    assert standing.to_gain == 0.0


def test_traffic_alone_has_no_rate_but_a_roof() -> None:
    standing = stand(2.0, macs=0, nbytes=20e9, roof=ROOF)
    assert (standing.rate, standing.peak_share, standing.roof_share) == (0.0, 0.0, 0.5)
    assert standing.bound == MEMORY


@given(positive, positive, positive, positive, positive)
def test_rate_and_time_tell_the_same_story(
    peak: float, bandwidth: float, macs: float, nbytes: float, seconds: float
) -> None:
    roof = Roof(peak, bandwidth)
    assert roof.seconds(macs, nbytes) == pytest.approx(macs / roof.rate(macs / nbytes))
    standing = stand(seconds, macs, nbytes, roof)
    assert standing.roof_share >= standing.peak_share * (1 - 1e-9)
    assert standing.to_gain <= seconds
    assert stand(standing.at_roof, macs, nbytes, roof).roof_share == pytest.approx(1.0)


@given(positive, positive, st.lists(st.tuples(positive, positive), min_size=1, max_size=8))
def test_bounds_of_steps_add_up_to_no_less_than_the_bound_of_the_whole(
    peak: float, bandwidth: float, steps: list[tuple[float, float]]
) -> None:
    roof = Roof(peak, bandwidth)
    whole = roof.seconds(sum(m for m, _ in steps), sum(b for _, b in steps))
    assert sum(roof.seconds(m, b) for m, b in steps) >= whole * (1 - 1e-9)
