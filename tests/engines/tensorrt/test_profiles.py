"""A batch of any size in the profiles of a plan."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.engines.tensorrt.profiles import Launch, Profile, launches
from edgereid.errors import InputError

IMAGE = (3, 32, 16)


def profile(index: int, low: int, best: int, high: int) -> Profile:
    return Profile(index, (low, *IMAGE), (best, *IMAGE), (high, *IMAGE))


def parts(profiles: list[Profile], count: int) -> list[tuple[int, int, int, int]]:
    """(profile, start, images, batch) of every launch."""
    return [(x.profile, x.start, x.count, x.shape[0]) for x in launches(profiles, (count, *IMAGE))]


ONE_TO_16 = [profile(0, 1, 4, 16)]
TWO_AND_EIGHT = [profile(0, 1, 1, 2), profile(1, 8, 8, 16)]


@pytest.mark.parametrize(
    ("profiles", "count", "expected"),
    [
        (ONE_TO_16, 1, [(0, 0, 1, 1)]),
        (ONE_TO_16, 7, [(0, 0, 7, 7)]),
        (ONE_TO_16, 16, [(0, 0, 16, 16)]),
        (ONE_TO_16, 17, [(0, 0, 16, 16), (0, 16, 1, 1)]),
        (ONE_TO_16, 33, [(0, 0, 16, 16), (0, 16, 16, 16), (0, 32, 1, 1)]),
        ([profile(0, 4, 8, 8)], 3, [(0, 0, 3, 4)]),  # filled up
        ([profile(0, 4, 8, 8)], 9, [(0, 0, 8, 8), (0, 8, 1, 4)]),
        ([profile(0, 8, 8, 8)], 8, [(0, 0, 8, 8)]),
        (TWO_AND_EIGHT, 2, [(0, 0, 2, 2)]),
        (TWO_AND_EIGHT, 5, [(1, 0, 5, 8)]),  # between the two: one launch, filled up
        (TWO_AND_EIGHT, 18, [(1, 0, 16, 16), (0, 16, 2, 2)]),
        ([profile(0, 1, 16, 16), profile(1, 1, 1, 4)], 1, [(1, 0, 1, 1)]),  # the nearest optimum
        ([profile(0, 1, 4, 8), profile(1, 1, 4, 8)], 4, [(0, 0, 4, 4)]),
    ],
)
def test_a_batch_goes_into_profiles_so(
    profiles: list[Profile], count: int, expected: list[tuple[int, int, int, int]]
) -> None:
    assert parts(profiles, count) == expected


def test_an_image_size_that_no_profile_takes_is_refused() -> None:
    open_size = Profile(0, (1, 3, 32, 16), (1, 3, 64, 32), (4, 3, 128, 64))
    assert launches([open_size], (2, 3, 100, 20)) == (Launch(0, 0, 2, (2, 3, 100, 20)),)
    with pytest.raises(InputError, match=r"takes 2x3x256x16: it takes 1x3x32x16 to 4x3x128x64"):
        launches([open_size], (2, 3, 256, 16))


def test_of_several_profiles_only_those_that_take_the_image_size_are_used() -> None:
    small, large = profile(0, 1, 1, 64), Profile(1, (1, 3, 64, 32), (1, 3, 64, 32), (2, 3, 64, 32))
    assert [x.profile for x in launches([small, large], (3, 3, 64, 32))] == [1, 1]


PROFILES = st.lists(
    st.lists(st.integers(1, 40), min_size=3, max_size=3).map(sorted), min_size=1, max_size=4
).map(lambda rows: [profile(i, *row) for i, row in enumerate(rows)])


@given(PROFILES, st.integers(1, 200))
def test_every_image_is_run_once_in_order_within_its_profile(
    profiles: list[Profile], count: int
) -> None:
    found = launches(profiles, (count, *IMAGE))
    reached = 0
    for x in found:
        chosen = profiles[x.profile]
        assert x.start == reached
        assert 1 <= x.count <= x.shape[0]
        assert chosen.minimum[0] <= x.shape[0] <= chosen.maximum[0]
        assert x.shape[0] == max(x.count, chosen.minimum[0])  # no more filling than needed
        reached += x.count
    assert reached == count
    assert len(found) == -(-count // max(p.maximum[0] for p in profiles))  # no needless split
