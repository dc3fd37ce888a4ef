"""Centred cosines: a naive loop, what must not change them, and what they must not hide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.retrieval.centred import centred_cosines, unit_rows


def drawn(seed: int, n: int = 9, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.normal(1.0, 1.0, (n, d)).astype(np.float32)
    return reference, (reference + rng.normal(0.0, 0.3, (n, d))).astype(np.float32)


def naive(reference: np.ndarray, features: np.ndarray) -> list[float]:
    def unit(rows: np.ndarray) -> list[list[float]]:
        return [[float(v) / math.hypot(*map(float, row)) for v in row] for row in rows]

    old, new = unit(reference), unit(features)
    mean = [sum(column) / len(old) for column in zip(*old, strict=True)]
    found = []
    for p, q in zip(old, new, strict=True):
        a = [x - m for x, m in zip(p, mean, strict=True)]
        b = [x - m for x, m in zip(q, mean, strict=True)]
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        found.append(dot / (math.hypot(*a) * math.hypot(*b)))
    return found


@given(st.integers(0, 1000))
def test_it_is_the_naive_loop(seed: int) -> None:
    reference, features = drawn(seed)
    assert centred_cosines(reference, features) == pytest.approx(naive(reference, features))


@given(st.integers(0, 1000))
def test_the_length_of_no_row_counts(seed: int) -> None:
    reference, features = drawn(seed)
    lengths = np.random.default_rng(seed).uniform(0.01, 100.0, (2, len(reference), 1))
    scaled = centred_cosines(reference * lengths[0], features * lengths[1])
    assert scaled == pytest.approx(centred_cosines(reference, features), abs=1e-6)


def test_a_few_long_rows_do_not_hide_how_the_others_moved() -> None:
    """Seen from a mean that a hundred times longer rows pull away, all others lie in one
    direction: without lengths removed the cosine is near 1 though the others were shuffled."""
    rng = np.random.default_rng(0)
    reference = rng.normal(0.0, 1.0, (64, 32))
    reference[:2] *= 300.0
    features = reference.copy()
    features[2:] = rng.permutation(features[2:], axis=0)
    a, b = (v - reference.mean(axis=0) for v in (reference, features))
    flattering = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    assert flattering.mean() > 0.95
    assert centred_cosines(reference, features)[2:].mean() < 0.2


def test_a_shift_of_all_embeddings_counts() -> None:
    reference, _ = drawn(3)
    assert centred_cosines(reference, reference + 2.0).mean() < 0.9


def test_equal_rows_are_one_and_rows_without_direction_nothing() -> None:
    reference = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)
    features = reference.copy()
    features[1] = [np.inf, np.nan]
    features[2] = unit_rows(reference).mean(axis=0)  # of length below 1, so it is not the mean row
    assert centred_cosines(reference, reference).tolist() == [1.0] * 4
    found = centred_cosines(reference, features)
    assert found[[0, 1, 3]].tolist() == [1.0, 0.0, 1.0]
    assert np.isfinite(found).all()


def test_rows_of_zeros_stay() -> None:
    assert unit_rows(np.zeros((2, 3), np.float32)).tolist() == [[0.0] * 3] * 2
    assert unit_rows(np.array([[3.0, 4.0]])).tolist() == [[0.6, 0.8]]
