"""What is certified is so: against a loop, and for features moved at random."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.bench.gate.certificate import certificate_check, certify
from edgereid.errors import InputError


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def world(seed: int, noise: float, queries: int = 12, gallery: int = 15, size: int = 4) -> tuple:
    rng = np.random.default_rng(seed)
    old = [rng.normal(size=(n, size)).astype(np.float32) for n in (queries, gallery)]
    new = [(x + noise * rng.normal(size=x.shape)).astype(np.float32) for x in old]
    return tuple(old), tuple(new)


def by_hand(old: tuple, new: tuple, among: bool) -> list[list[bool]]:
    """Certified, kept, certified and kept in the reference's gallery, for each query."""
    old_q, old_g = (unit(x.astype(np.float64)) for x in old)
    new_q, new_g = (unit(x.astype(np.float64)) for x in new)
    found = []
    for i in range(len(old_q)):
        others = [j for j in range(len(old_g)) if not (among and i == j)]
        first = min(others, key=lambda j: np.linalg.norm(old_q[i] - old_g[j]))

        def moved(j: int) -> float:
            return float(np.linalg.norm(new_g[j] - old_g[j]))

        def near(query: np.ndarray, gallery: np.ndarray, j: int) -> float:
            return float(np.linalg.norm(query - gallery[j]))

        own = float(np.linalg.norm(new_q[i] - old_q[i]))
        rivals = [j for j in others if j != first]
        gap = [near(old_q[i], old_g, j) - near(old_q[i], old_g, first) for j in rivals]
        both = all(g > moved(j) + moved(first) + 2 * own for g, j in zip(gap, rivals, strict=True))
        plane = []
        for j in rivals:
            line = old_g[first] - old_g[j]
            middle = (old_g[first] + old_g[j]) / 2
            plane.append(float((old_q[i] - middle) @ line / np.linalg.norm(line)) > own)
        kept = min(others, key=lambda j: near(new_q[i], new_g, j)) == first
        mixed = min(others, key=lambda j: near(new_q[i], old_g, j)) == first
        found.append([both, kept, all(plane), mixed])
    return found


@pytest.mark.parametrize(("seed", "noise"), list(product(range(4), [0.01, 0.05, 0.3])))
def test_the_shares_are_those_of_a_loop(seed: int, noise: float) -> None:
    old, new = world(seed, noise)
    got = certify(old, new, "cosine")
    expected = np.mean(by_hand(old, new, False), axis=0)
    assert [got.certified, got.kept, got.certified_mixed, got.kept_mixed] == pytest.approx(expected)


def test_crops_without_a_gallery_are_looked_up_among_each_other() -> None:
    (crops, _), (moved, _) = world(1, 0.03, queries=20)
    got = certify((crops, None), (moved, None), "cosine")
    expected = np.mean(by_hand((crops, crops), (moved, moved), True), axis=0)
    assert [got.certified, got.kept, got.certified_mixed, got.kept_mixed] == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    noise=st.floats(0, 0.5),
    distance=st.sampled_from(["cosine", "euclidean"]),
)
def test_whoever_is_certified_keeps_the_best_match(seed: int, noise: float, distance: str) -> None:
    """Of one query: the shares are 0 or 1."""
    old, new = world(seed, noise, queries=1, gallery=6)
    got = certify(old, new, distance)
    assert got.certified <= got.kept
    assert got.certified_mixed <= got.kept_mixed
    assert got.certified <= got.certified_mixed  # the other has less to fear


def test_an_engine_that_changes_nothing_is_certified_everywhere() -> None:
    old, _ = world(3, 0.0)
    got = certify(old, old, "cosine")
    assert (got.certified, got.certified_mixed, got.median_error) == (1.0, 1.0, 0.0)
    check = certificate_check(got, "queries")
    assert check.verdict == "info"
    assert "100.0%" in check.explanation


def test_twins_in_the_gallery_are_never_certified() -> None:
    old, new = world(3, 1e-4)
    twins = tuple((q, np.concatenate([g, g])) for q, g in (old, new))
    assert certify(*twins, "cosine").certified_mixed == 0.0


def test_too_few_crops_are_refused() -> None:
    (crops, _), (moved, _) = world(0, 0.1, queries=2)
    with pytest.raises(InputError, match="two gallery images"):
        certify((crops, None), (moved, None), "cosine")
    with pytest.raises(InputError, match="different shapes"):
        certify((crops, None), (moved[:, :2], None), "cosine")
