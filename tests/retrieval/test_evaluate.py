"""Retrieval against a slow oracle that sorts, against scikit-learn, closed forms and properties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from edgereid.retrieval import RetrievalResult, evaluate, evaluate_distances
from edgereid.retrieval import distances as distances_module

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """Distances (Q, G) and labels."""

    distances: NDArray[np.float32]
    query_pids: Ints
    query_camids: Ints
    gallery_pids: Ints
    gallery_camids: Ints

    def evaluate(self, ap: str = "precision", threads: int | None = None) -> RetrievalResult:
        labels = (self.query_pids, self.query_camids, self.gallery_pids, self.gallery_camids)
        return evaluate_distances(self.distances, *labels, ap=ap, threads=threads)


def judged_list(case: Case, q: int) -> tuple[list[bool], list[int]]:
    """The oracle: sort the gallery, walk down, drop what is passed over: hits and the indices."""
    order = sorted(range(len(case.gallery_pids)), key=lambda j: (case.distances[q, j], j))
    hits, kept = [], []
    for j in order:
        same = case.gallery_pids[j] == case.query_pids[q]
        if case.gallery_pids[j] == -1 or (same and case.gallery_camids[j] == case.query_camids[q]):
            continue
        hits.append(bool(same and case.query_pids[q] > 0))
        kept.append(j)
    return hits, kept


def oracle(case: Case) -> dict[str, object]:
    first, average, trapezoid, penalty, index = [], [], [], [], []
    for q in range(len(case.query_pids)):
        hits, _ = judged_list(case, q)
        if not any(hits):
            continue
        found, precisions, areas, previous = 0, [], [], 1.0
        for rank, hit in enumerate(hits, start=1):
            found += hit
            if hit:
                precisions.append(found / rank)
                areas.append((previous + found / rank) / 2)
                hardest = rank
            previous = found / rank
        first.append(hits.index(True) + 1)
        average.append(sum(precisions) / found)
        trapezoid.append(sum(areas) / found)
        penalty.append(found / hardest)
        index.append(q)
    return {
        "first": first,
        "average": average,
        "trapezoid": trapezoid,
        "penalty": penalty,
        "index": index,
    }


def assert_agrees(case: Case) -> None:
    want = oracle(case)
    got = case.evaluate()
    assert got.query_index.tolist() == want["index"]
    assert got.first_match.tolist() == want["first"]
    assert got.valid_queries == len(want["index"])
    assert got.dropped_queries == len(case.query_pids) - got.valid_queries
    np.testing.assert_allclose(got.average_precision, want["average"], rtol=0, atol=1e-12)
    assert got.mean_ap == pytest.approx(np.mean(want["average"]), abs=1e-12)
    assert got.mean_inp == pytest.approx(np.mean(want["penalty"]), abs=1e-12)
    for k in (1, 2, 3, 5, 10, 20):
        share = np.mean([f <= k for f in want["first"]])
        assert got.rank(k) == pytest.approx(share, abs=1e-12)
        assert got.cmc.get(k, got.rank(k)) == got.rank(k)
    other = case.evaluate(ap="trapezoid", threads=3)
    np.testing.assert_allclose(other.average_precision, want["trapezoid"], rtol=0, atol=1e-12)
    assert np.all(other.average_precision <= got.average_precision + 1e-12)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Small cases, rich in ties, junk, distractors, single matches and dropped queries."""
    queries, gallery = draw(st.integers(1, 6)), draw(st.integers(1, 30))
    levels = draw(st.sampled_from([1, 2, 4, 1000]))

    def array(low: int, high: int, size: int) -> Ints:
        values = st.lists(st.integers(low, high), min_size=size, max_size=size)
        return np.array(draw(values), dtype=np.int64)

    distances = array(-levels, levels, queries * gallery).reshape(queries, gallery)
    case = Case(
        distances.astype(np.float32) / 8,
        array(-1, 3, queries),
        array(0, 2, queries),
        array(-1, 3, gallery),
        array(0, 2, gallery),
    )
    # One query that is sure to have a match, so that there is something to evaluate.
    case.query_pids[0], case.query_camids[0] = 2, 0
    case.gallery_pids[-1], case.gallery_camids[-1] = 2, 1
    return case


@settings(deadline=None, max_examples=300)
@given(cases())
def test_counted_ranks_give_what_sorting_gives_ties_and_junk_included(case: Case) -> None:
    assert_agrees(case)


@settings(deadline=None, max_examples=100)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_queries_does_not_matter(case: Case, random: object) -> None:
    order = np.array(sorted(range(len(case.query_pids)), key=lambda _: random.random()))  # type: ignore[attr-defined]
    moved = Case(
        case.distances[order],
        case.query_pids[order],
        case.query_camids[order],
        case.gallery_pids,
        case.gallery_camids,
    ).evaluate()
    straight = case.evaluate()
    position = {int(q): i for i, q in enumerate(straight.query_index)}
    back = [position[int(order[i])] for i in moved.query_index]
    assert moved.first_match.tolist() == straight.first_match[back].tolist()
    np.testing.assert_array_equal(moved.average_precision, straight.average_precision[back])


def random_case(seed: int, queries: int = 40, gallery: int = 500) -> Case:
    """Without ties."""
    rng = np.random.default_rng(seed)
    distances = rng.permuted(np.tile(np.arange(gallery), (queries, 1)), axis=1)
    return Case(
        distances.astype(np.float32),
        rng.integers(1, 30, queries),
        rng.integers(0, 4, queries),
        rng.integers(-1, 30, gallery),
        rng.integers(0, 4, gallery),
    )


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_scikit_learn(seed: int) -> None:
    case = random_case(seed)
    result = case.evaluate()
    for q, ap in zip(result.query_index, result.average_precision, strict=True):
        hits, kept = judged_list(case, int(q))
        assert ap == pytest.approx(
            average_precision_score(hits, -case.distances[q, kept]), abs=1e-9
        )


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_the_order_of_the_gallery_does_not_matter(seed: int) -> None:
    case = random_case(seed)
    order = np.random.default_rng(seed + 100).permutation(len(case.gallery_pids))
    moved = Case(
        case.distances[:, order],
        case.query_pids,
        case.query_camids,
        case.gallery_pids[order],
        case.gallery_camids[order],
    )
    np.testing.assert_array_equal(
        moved.evaluate().average_precision, case.evaluate().average_precision
    )


@pytest.mark.parametrize("ap", ["precision", "trapezoid"])
def test_the_worked_example_comes_out_as_by_hand(ap: str) -> None:
    row = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    result = evaluate_distances(
        np.array([row, row[::-1]]), [1, 2], [1, 2], [1, -1, 0, 1, 2, 1], [1, 3, 3, 2, 1, 3], ap=ap
    )
    assert [result.rank(k) for k in (1, 2, 3)] == [0.0, 1.0, 1.0]
    assert result.cmc == {1: 0.0, 5: 1.0, 10: 1.0, 20: 1.0}
    assert result.mean_ap == pytest.approx({"precision": 0.5, "trapezoid": 7 / 24}[ap], abs=1e-12)
    assert "AP" in result.protocol
    assert "trapezoid" in result.protocol or ap == "precision"


def test_matches_at_the_top_score_one_and_at_the_bottom_the_closed_form() -> None:
    gallery_pids = np.array([1] * 4 + [2] * 16)
    for sign, ap, inp in ((1, 1.0, 1.0), (-1, sum(k / (16 + k) for k in range(1, 5)) / 4, 4 / 20)):
        distances = sign * np.arange(20.0)[None]
        result = evaluate_distances(distances, [1], [0], gallery_pids, np.ones(20, dtype=int))
        assert result.mean_ap == pytest.approx(ap, abs=1e-12)
        assert result.mean_inp == pytest.approx(inp, abs=1e-12)


def test_equal_distances_rank_by_their_place_in_the_gallery() -> None:
    pids = np.array([2, 2, 1, 2, 1, 2])
    result = evaluate_distances(np.zeros((1, 6)), [1], [0], pids, np.ones(6, dtype=int))
    assert result.first_match.tolist() == [3]
    assert result.mean_ap == pytest.approx((1 / 3 + 2 / 5) / 2, abs=1e-12)


def features_and_labels(seed: int) -> tuple[NDArray[np.float32], ...]:
    """Features of small integers: all products are exact in float32, so ties stay ties."""
    rng = np.random.default_rng(seed)
    query, gallery = (rng.integers(-3, 4, (n, 12)).astype(np.float32) for n in (50, 300))
    return query, rng.integers(1, 20, 50), rng.integers(0, 3, 50), gallery, rng.integers(
        -1, 20, 300
    ), rng.integers(0, 3, 300)  # fmt: skip


def same(a: RetrievalResult, b: RetrievalResult) -> bool:
    return (
        a.cmc == b.cmc
        and a.mean_inp == b.mean_inp
        and a.average_precision.tolist() == b.average_precision.tolist()
    )


@pytest.mark.parametrize("seed", range(3))
def test_euclidean_evaluation_is_that_of_the_distances_written_out(seed: int) -> None:
    query, qp, qc, gallery, gp, gc = features_and_labels(seed)
    written_out = ((query[:, None] - gallery[None]) ** 2).sum(-1)
    got = evaluate(query, qp, qc, gallery, gp, gc, metric="euclidean")
    assert same(got, evaluate_distances(written_out, qp, qc, gp, gc))


@pytest.mark.parametrize("seed", range(3))
def test_cosine_evaluation_is_that_of_the_cosines_written_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    query, qp, qc, gallery, gp, gc = features_and_labels(seed)
    query, gallery = query + rng.random(query.shape), gallery + rng.random(gallery.shape)
    cosines = np.array([[q @ g / np.sqrt((q @ q) * (g @ g)) for g in gallery] for q in query])
    got = evaluate(query.astype(np.float32), qp, qc, gallery.astype(np.float32), gp, gc)
    want = evaluate_distances(1 - cosines, qp, qc, gp, gc)
    assert got.mean_ap == pytest.approx(want.mean_ap, abs=1e-9)
    assert got.cmc == want.cmc
    assert got.protocol.startswith("Market-1501 single query, cosine distance")


def exact_cosine_features(rows: int, seed: int) -> NDArray[np.float32]:
    """Four entries of +-1 among twelve: of length 2, so that all cosines are exact."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], (rows, 12))
    place = rng.permuted(np.tile(np.arange(12), (rows, 1)), axis=1)
    return np.where(place < 4, signs, 0.0).astype(np.float32)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neither_blocks_nor_threads_change_the_result(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, qp, qc, gallery, gp, gc = features_and_labels(7)
    if metric == "cosine":
        query, gallery = exact_cosine_features(50, 1), exact_cosine_features(300, 2)
    whole = evaluate(query, qp, qc, gallery, gp, gc, metric=metric)
    monkeypatch.setattr(distances_module, "BLOCK_BYTES", 4 * 300 * 7)  # 7 of 50 queries at a time
    monkeypatch.setattr(distances_module, "_LEAST_ROWS", 1)
    for threads in (1, 2, 5):
        parts = evaluate(query, qp, qc, gallery, gp, gc, metric=metric, threads=threads)
        assert same(parts, whole)


@pytest.mark.parametrize("power", [-30, 30])
def test_the_scale_of_features_does_not_change_the_cosine_ranking(power: int) -> None:
    query, qp, qc, gallery, gp, gc = features_and_labels(3)
    straight = evaluate(query, qp, qc, gallery, gp, gc)
    factor = np.float32(2.0**power)
    assert same(evaluate(query * factor, qp, qc, gallery * factor, gp, gc), straight)


def test_a_feature_of_zeros_is_similar_to_nothing_and_breaks_nothing() -> None:
    gallery = np.array([[0, 0], [1, 0], [1, 1]], dtype=np.float32)
    query = np.array([[1, 0]], dtype=np.float32)
    result = evaluate(query, [1], [0], gallery, [1, 2, 2], [1, 1, 1])
    assert result.first_match.tolist() == [3]


def test_a_gallery_smaller_than_the_largest_rank_is_fine() -> None:
    result = evaluate(np.ones((1, 2)), [5], [0], np.ones((1, 2)), [5], [1])
    assert result.cmc == {1: 1.0, 5: 1.0, 10: 1.0, 20: 1.0}
    assert result.mean_ap == result.mean_inp == 1.0
