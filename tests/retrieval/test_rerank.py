"""Re-ranking against the dense code that peers share, and by its properties."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.errors import InputError, UsageError
from edgereid.native import NearestTable, ReciprocalEncoding
from edgereid.retrieval import distances, evaluate, evaluate_distances, rerank
from edgereid.retrieval.rerank import ReRanking, reranked_blocks

Floats = NDArray[np.float32]
PEER = Path(__file__).parents[2] / "benchmarks" / "dense_reranking.py"


def peer() -> Any:
    spec = importlib.util.spec_from_file_location("dense_reranking", PEER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def people(seed: int, queries: int, gallery: int, persons: int, size: int = 37) -> Any:
    """Features and labels of persons with scatter."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((persons, size))
    who = rng.integers(0, persons, queries + gallery)
    x = (centres[who] + 0.7 * rng.standard_normal((len(who), size))).astype(np.float32)
    cameras = rng.integers(0, 3, len(who))
    return (
        x[:queries],
        who[:queries] + 1,
        cameras[:queries],
        x[queries:],
        who[queries:] + 1,
        (cameras[queries:]),
    )


def reranked(query: Floats, gallery: Floats, how: ReRanking, threads: int = 2) -> Floats:
    blocks = reranked_blocks(query, gallery, how, "euclidean", threads)
    return np.concatenate([block.copy() for _, block in blocks])


@pytest.mark.parametrize(
    ("k1", "k2", "weight"),
    [(20, 6, 0.3), (7, 3, 0.0), (5, 1, 1.0), (9, 4, 0.5), (3, 2, 0.3), (1, 1, 0.3), (6, 9, 0.2)],
)
def test_it_equals_the_dense_code(k1: int, k2: int, weight: float) -> None:
    for seed, persons in ((0, 12), (1, 60)):
        query, _, _, gallery, _, _ = people(seed, 30, 150, persons)
        want = peer().rerank(query, gallery, k1, k2, weight)
        got = reranked(query, gallery, ReRanking(k1, k2, weight))
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def naive(query: Floats, gallery: Floats, how: ReRanking) -> NDArray[np.float64]:
    """The paper with Python's sets, and a rule for ties: an image itself, then by distance, then in
    the order of the images."""
    x = np.concatenate([query, gallery]).astype(np.float64)
    squared = np.square(x[:, None] - x[None]).sum(2)
    everyone = range(len(x))
    order = [sorted(everyone, key=lambda j: (j != i, squared[i, j], j)) for i in everyone]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    encoding = np.zeros_like(squared)
    for i in everyone:
        own = reciprocal(i, how.k1)
        halves = [reciprocal(j, round(how.k1 / 2)) for j in own]
        members = sorted(own.union(*(h for h in halves if 3 * len(h & own) > 2 * len(h))))
        encoding[i, members] = np.exp(-squared[i, members] / squared[i].max())
        encoding[i] /= encoding[i].sum()
    encoding = np.stack([encoding[order[i][: how.k2]].mean(0) for i in everyone])
    final = np.empty((len(query), len(gallery)))
    for q in range(len(query)):
        for g, other in enumerate(encoding[len(query) :]):
            shared = np.minimum(encoding[q], other).sum() / np.maximum(encoding[q], other).sum()
            original = squared[q, len(query) + g] / squared[q].max()
            final[q, g] = how.weight * original + (1 - how.weight) * (1 - shared)
    return final


def whole_numbers(seed: int, queries: int, gallery: int) -> tuple[Floats, Floats]:
    """Features whose products are exact: full of ties, every fourth image a copy of another."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (queries + gallery, 3)).astype(np.float32)
    x[::4] = x[rng.permutation(len(x))[: len(x[::4])]]
    return x[:queries], x[queries:]


@pytest.mark.parametrize(("k1", "k2", "weight"), [(8, 3, 0.3), (3, 1, 0.0), (5, 7, 0.6)])
@pytest.mark.parametrize("seed", range(3))
def test_ties_and_copies_of_an_image_are_treated_by_the_stated_rule(
    seed: int, k1: int, k2: int, weight: float
) -> None:
    query, gallery = whole_numbers(seed, 9, 47)
    how = ReRanking(k1, k2, weight)
    np.testing.assert_allclose(
        reranked(query, gallery, how), naive(query, gallery, how), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kept", [0, 2**40])
def test_blocks_and_threads_make_no_difference(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerank, "_KEPT_BYTES", kept)
    query, gallery = whole_numbers(2, 40, 200)
    whole = reranked(query, gallery, ReRanking(), threads=1)
    np.testing.assert_array_equal(reranked(query, gallery, ReRanking(), threads=3), whole)
    monkeypatch.setattr(distances, "BLOCK_BYTES", 4 * 240 * 7)
    monkeypatch.setattr(distances, "_LEAST_ROWS", 1)
    monkeypatch.setattr(rerank, "_BLOCK_BYTES", 4 * 240 * 9)
    np.testing.assert_array_equal(reranked(query, gallery, ReRanking()), whole)


def test_products_that_are_kept_and_computed_again_give_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query, _, _, gallery, _, _ = people(2, 40, 200, 20)
    asked: list[int] = []
    again = rerank._products
    monkeypatch.setattr(rerank, "_products", lambda *a: asked.append(len(a[0])) or again(*a))
    kept = reranked(query, gallery, ReRanking())
    assert asked == []
    monkeypatch.setattr(rerank, "_KEPT_BYTES", 4 * 40 * 240 - 1)
    computed = reranked(query, gallery, ReRanking())
    assert sum(asked) == 40
    np.testing.assert_allclose(computed, kept, rtol=0, atol=1e-6)  # blocks round differently
    np.testing.assert_array_equal(computed.argsort(1), kept.argsort(1))


def test_evaluate_scores_the_reranked_distances() -> None:
    query, qp, qc, gallery, gp, gc = people(4, 30, 200, 15)
    gp[:20] = -1  # junk: no neighbour of anybody
    gp[20:40] = 0
    qp[3] = 77  # without a match: a neighbour all the same, but not scored
    result = evaluate(
        query, qp, qc, gallery, gp, gc, metric="euclidean", reranking=ReRanking(6, 3, 0.3)
    )
    kept = gp != -1
    dense = peer().rerank(query, gallery[kept], 6, 3, 0.3)
    want = evaluate_distances(dense, qp, qc, gp[kept], gc[kept])
    assert result.dropped_queries >= 1
    np.testing.assert_array_equal(result.query_index, want.query_index)
    np.testing.assert_allclose(result.average_precision, want.average_precision, atol=1e-9)
    assert "k-reciprocal re-ranking (k1 6, k2 3, weight 0.3)" in result.protocol


def test_it_helps_where_people_form_clusters() -> None:
    query, qp, qc, gallery, gp, gc = people(5, 60, 400, 20, size=6)
    plain = evaluate(query, qp, qc, gallery, gp, gc, metric="euclidean")
    better = evaluate(query, qp, qc, gallery, gp, gc, metric="euclidean", reranking=ReRanking())
    assert better.mean_ap > plain.mean_ap


def test_cosine_is_the_euclidean_distance_of_unit_features() -> None:
    query, _, _, gallery, _, _ = people(6, 20, 90, 9)
    cosine = np.concatenate(
        [b.copy() for _, b in reranked_blocks(query, gallery, ReRanking(6, 3), "cosine", 1)]
    )
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, gallery)]
    np.testing.assert_allclose(cosine, reranked(*unit, ReRanking(6, 3)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("block_bytes", [4, 4 * 130 * 9, 2**20])
@pytest.mark.parametrize("count", [1, 2, 5, 70, 130])
def test_the_nearest_are_those_of_a_stable_sort(
    count: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerank, "_BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(count)
    x = rng.integers(-2, 3, (130, 4)).astype(np.float32)  # full of ties
    exact = np.square(x[:, None] - x[None]).sum(2)
    indices, maxima = rerank.nearest(x, (x * x).sum(1), count, 2)
    np.testing.assert_array_equal(maxima, exact.max(1))
    exact[np.arange(130), np.arange(130)] = -1  # the image itself comes first
    np.testing.assert_array_equal(indices, np.argsort(exact, 1, kind="stable")[:, :count])


@pytest.mark.parametrize(
    ("k1", "k2", "weight"), [(0, 6, 0.3), (20, 0, 0.3), (20, 6, -0.1), (20, 6, 1.1)]
)
def test_parameters_out_of_range_are_refused(k1: int, k2: int, weight: float) -> None:
    with pytest.raises(UsageError, match="re-ranking with"):
        ReRanking(k1, k2, weight)


def test_too_few_or_equal_images_are_refused() -> None:
    query, _, _, gallery, _, _ = people(7, 2, 10, 3)
    with pytest.raises(InputError, match="needs 21 images, there are 12"):
        reranked(query, gallery, ReRanking())
    same = np.ones((30, 4), dtype=np.float32)
    with pytest.raises(InputError, match="all features are the same"):
        reranked(same[:5], same[5:], ReRanking(4, 2))


@pytest.mark.parametrize("scale", [1e19, 1e-12])
def test_features_that_float32_cannot_square_are_refused(scale: float) -> None:
    query, qp, qc, gallery, gp, gc = people(8, 5, 40, 4)
    query, gallery = query * np.float32(scale), gallery * np.float32(min(scale, 1.0))
    with pytest.raises(InputError, match="do not fit float32"):
        evaluate(query, qp, qc, gallery, gp, gc, "euclidean", reranking=ReRanking(4, 2))
    evaluate(query, qp, qc, gallery, gp, gc, "cosine", reranking=ReRanking(4, 2))


def test_arrays_that_do_not_fit_are_refused() -> None:
    table = NearestTable(np.zeros(10, dtype=np.float32), 3)
    for shape in ((4, 9), (11, 10)):
        with pytest.raises(ValueError, match="do not fit"):
            table.add(np.zeros(shape, dtype=np.float32), 1)
    with pytest.raises(ValueError, match="do not fit"):  # not all blocks were added
        table.finish(np.empty((10, 3), dtype=np.int32), np.empty(10, dtype=np.float32))
    with pytest.raises(ValueError, match="do not fit"):
        NearestTable(np.zeros(10, dtype=np.float32), 11)


@pytest.mark.parametrize(
    ("products", "first", "out"),
    [
        ((2, 6), 0, (2, 7)),
        ((3, 7), 0, (2, 7)),
        ((2, 7), 0, (2, 6)),
        ((2, 7), 2, (2, 7)),
        ((2, 7), 2**64 - 1, (2, 7)),
    ],
)
def test_blocks_of_other_sizes_than_the_gallerys_are_refused(
    products: tuple[int, int], first: int, out: tuple[int, int]
) -> None:
    ones, table = np.ones(10, dtype=np.float32), np.zeros((10, 3), dtype=np.int32)
    features = np.ones((10, 4), dtype=np.float32)
    encoding = ReciprocalEncoding(features, ones, ones, table, 3, 2, 2, 1)
    a, b = (np.zeros(shape, dtype=np.float32) for shape in (products, out))
    with pytest.raises(ValueError, match="do not fit"):
        encoding.mix(a, first, 0.3, b, 1)
    encoding.mix(np.zeros((3, 10), dtype=np.float32), 0, 0.3, np.zeros((3, 7), dtype=np.float32), 1)
