"""Re-ranking against the dense code that peers share, and by its properties."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.errors import InputError, UsageError
from edgereid.native import NearestTable
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


def test_blocks_and_threads_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    query, _, _, gallery, _, _ = people(2, 40, 200, 20)
    whole = reranked(query, gallery, ReRanking(), threads=1)
    np.testing.assert_array_equal(reranked(query, gallery, ReRanking(), threads=3), whole)
    monkeypatch.setattr(distances, "BLOCK_BYTES", 4 * 240 * 7)
    monkeypatch.setattr(distances, "_LEAST_ROWS", 1)
    monkeypatch.setattr(rerank, "_BLOCK_BYTES", 4 * 240 * 7)
    np.testing.assert_allclose(reranked(query, gallery, ReRanking()), whole, rtol=0, atol=1e-5)


def test_duplicates_in_the_gallery_are_treated_alike() -> None:
    query, _, _, gallery, _, _ = people(3, 10, 60, 10)
    twice = np.concatenate([gallery, gallery[:5]])
    got = reranked(query, twice, ReRanking(8, 3, 0.3))
    assert np.isfinite(got).all()
    assert got.min() >= 0
    assert got.max() <= 1 + 1e-6


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


def test_arrays_that_do_not_fit_are_refused() -> None:
    table = NearestTable(np.zeros(10, dtype=np.float32), 3)
    with pytest.raises(ValueError, match="do not fit"):
        table.add(np.zeros((4, 9), dtype=np.float32), 1)
    with pytest.raises(ValueError, match="do not fit"):  # not all blocks were added
        table.finish(np.empty((10, 3), dtype=np.int32), np.empty(10, dtype=np.float32), 1)
    with pytest.raises(ValueError, match="do not fit"):
        NearestTable(np.zeros(10, dtype=np.float32), 11)
