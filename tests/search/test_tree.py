"""The tree of ranges: the front that sums predict, against brute force over all choices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.search.tree import Change, Range, front, halves, ranges

Choice = tuple[int, ...]


def law(
    times: Sequence[float], errors: Sequence[float], border: float, kept: Choice
) -> tuple[float, float]:
    """Time and error of a choice on a chain where every border between kept and not costs."""
    flags = [i in kept for i in range(len(times))]
    borders = sum(a != b for a, b in itertools.pairwise(flags))
    return (
        sum(times[i] for i in kept) + border * borders,
        -sum(errors[i] for i in kept),
    )


def measured(
    times: Sequence[float], errors: Sequence[float], border: float, doubt: float = 0.0
) -> dict[Range, Change]:
    found = {}
    for span in [*ranges(len(times)), (0, len(times))]:
        time, error = law(times, errors, border, tuple(range(*span)))
        found[span] = Change(error, time, (), doubt)
    return found


@pytest.mark.parametrize("units", range(1, 20))
def test_the_ranges_are_every_unit_and_every_half_the_long_ones_first(units: int) -> None:
    found = ranges(units)
    singles = [(i, i + 1) for i in range(units)]
    assert len(found) == len(set(found)) == (2 * units - 2)
    if units > 1:
        assert set(singles) <= set(found)
    for span in [(0, units), *found]:
        if split := halves(span):
            assert split[0][0] == span[0]
            assert split[0][1] == split[1][0]
            assert split[1][1] == span[1]
            assert set(split) <= set(found)
    depths = [b - a for a, b in found]
    assert max(depths[len(depths) // 2 :], default=0) <= max(depths, default=0)


amounts = st.floats(0.01, 1.0)


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[float], list[float], float]:
    units = draw(st.integers(2, 6))
    times = draw(st.lists(amounts, min_size=units, max_size=units))
    errors = draw(st.lists(amounts, min_size=units, max_size=units))
    return times, errors, draw(st.floats(0.0, 0.3))


@given(chains())
@settings(max_examples=60, deadline=None)
def test_the_front_is_that_of_brute_force_where_the_law_is_a_sum_with_borders(
    chain: tuple[list[float], list[float], float],
) -> None:
    times, errors, border = chain
    units = len(times)
    found = front(units, measured(times, errors, border))
    for change in found:  # what is predicted is true
        time, error = law(times, errors, border, change.kept)
        assert change.time == pytest.approx(time)
        assert change.error == pytest.approx(error)
    for size in range(units + 1):  # and nothing is better
        for kept in itertools.combinations(range(units), size):
            time, error = law(times, errors, border, kept)
            assert any(c.time <= time + 1e-9 and c.error <= error + 1e-9 for c in found)


@given(chains())
@settings(max_examples=30, deadline=None)
def test_no_point_of_the_front_dominates_another(
    chain: tuple[list[float], list[float], float],
) -> None:
    found = front(len(chain[0]), measured(*chain))
    assert [c.time for c in found] == sorted({c.time for c in found})
    assert [c.error for c in found] == sorted({c.error for c in found}, reverse=True)


def test_a_gain_in_time_that_its_doubt_may_explain_counts_as_none() -> None:
    seems_faster = {(0, 1): Change(0.0, -0.01, (), 0.02), (1, 2): Change(-0.5, 0.2, (), 0.02)}
    assert [c.kept for c in front(2, seems_faster)] == [(), (1,)]
    is_faster = {**seems_faster, (0, 1): Change(0.0, -0.03, (), 0.02)}
    assert [c.kept for c in front(2, is_faster)] == [(0,), (0, 1)]


@pytest.mark.parametrize(("doubt", "time"), [(0.0, 0.35), (0.02, 0.35), (0.2, 0.4)])
def test_a_saving_where_two_parts_meet_counts_only_above_the_noise(
    doubt: float, time: float
) -> None:
    parts = {(i, i + 1): Change(-1.0, 0.2) for i in range(4)}
    parts |= {(0, 2): Change(-2.0, 0.4, (), doubt), (2, 4): Change(-2.0, 0.4, (), doubt)}
    parts[0, 4] = Change(-4.0, 0.75, (), doubt)
    two = next(c for c in front(4, parts) if len(c.kept) == 2)  # 1 and 2, unless they save nothing
    assert two.time == pytest.approx(time)


def test_what_was_not_measured_as_a_whole_is_put_together_from_its_parts() -> None:
    parts = {(0, 1): Change(-1.0, 0.1), (3, 4): Change(-2.0, 0.2)}
    found = front(4, parts)
    assert [c.kept for c in found] == [(), (0,), (3,), (0, 3)]
    assert found[-1].time == pytest.approx(0.3)


def test_a_network_of_fifty_units_takes_no_time_and_keeps_its_ends() -> None:
    times = [0.01 + 0.001 * (i % 7) for i in range(50)]
    errors = [0.5 / (1 + i % 11) for i in range(50)]
    found = front(50, measured(times, errors, 0.004))
    assert found[0].kept == ()
    assert len(found[-1].kept) == 50
    assert len(found) < 500
