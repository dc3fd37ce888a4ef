"""Input that cannot be evaluated is refused with one line that says what was got."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgereid.errors import EdgeReidError, InputError, UsageError
from edgereid.retrieval import evaluate, evaluate_distances


def good() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "query_features": rng.normal(size=(3, 4)).astype(np.float32),
        "query_pids": np.array([1, 2, 3]),
        "query_camids": np.array([1, 1, 1]),
        "gallery_features": rng.normal(size=(5, 4)).astype(np.float32),
        "gallery_pids": np.array([1, 2, 3, 0, -1]),
        "gallery_camids": np.array([2, 2, 2, 2, 2]),
    }


def spoilt(shape: tuple[int, int], value: float) -> np.ndarray:
    array = np.ones(shape, dtype=np.float32)
    array[1, 2] = value
    return array


CASES: list[tuple[str, dict[str, Any], type[EdgeReidError], str]] = [
    ("NaN", {"query_features": spoilt((3, 4), np.nan)}, InputError, "query features: 1 of 12"),
    (
        "infinity",
        {"gallery_features": spoilt((5, 4), np.inf)},
        InputError,
        "gallery features: 1 of 20",
    ),
    (
        "too large a float64",
        {"query_features": np.full((3, 4), 1e300)},
        InputError,
        "in float32",
    ),
    ("one dimension", {"query_features": np.ones(4)}, InputError, "2-D .* got 1-D"),
    ("integers", {"query_features": np.ones((3, 4), dtype=int)}, InputError, "floats .* int64"),
    ("no queries", {"query_features": np.ones((0, 4))}, InputError, r"empty.*\(0, 4\)"),
    ("no gallery", {"gallery_features": np.ones((0, 4))}, InputError, r"empty.*\(0, 4\)"),
    ("other network", {"gallery_features": np.ones((5, 6))}, InputError, "4 values.* 6"),
    ("too few pids", {"query_pids": [1, 2]}, InputError, "query person ids: 2 of them for 3"),
    ("too many cameras", {"gallery_camids": [1] * 6}, InputError, "gallery camera ids: 6"),
    ("fractional pids", {"query_pids": [1.0, 2.0, 3.0]}, InputError, "integers .* float64"),
    ("pids in a matrix", {"query_pids": [[1, 2, 3]]}, InputError, "1-D .* got 2-D"),
    ("person id -2", {"gallery_pids": [1, 2, 3, 0, -2]}, InputError, "gallery person id -2"),
    ("same camera", {"gallery_camids": [1] * 5}, InputError, "no query has a true match"),
    ("only junk", {"gallery_pids": [-1] * 5}, InputError, "no query has a true match"),
    ("queries are nobody", {"query_pids": [0, -1, 0]}, InputError, "no query has a true match"),
    ("unknown metric", {"metric": "manhattan"}, UsageError, "'manhattan'.*cosine, euclidean"),
    ("unknown AP", {"ap": "11-point"}, UsageError, "'11-point'.*precision, trapezoid"),
    (
        "huge features",
        {"query_features": spoilt((3, 4), 1e19), "metric": "euclidean"},
        InputError,
        "norm is 1e[+]19.*Normalise",
    ),
]


@pytest.mark.parametrize(
    ("change", "error", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_unusable_input_is_refused(
    change: dict[str, Any], error: type[EdgeReidError], words: str
) -> None:
    evaluate(**good())  # the rest is fine
    with pytest.raises(error, match=words) as caught:
        evaluate(**(good() | change))
    assert "\n" not in str(caught.value)


def test_distances_that_are_not_numbers_are_refused() -> None:
    labels = ([1], [1], [1, 1], [2, 2])
    with pytest.raises(InputError, match="distances: 1 of 2"):
        evaluate_distances(np.array([[0.5, np.nan]]), *labels)


def test_ranks_count_from_one() -> None:
    with pytest.raises(UsageError, match="rank 0"):
        evaluate(**good()).rank(0)
