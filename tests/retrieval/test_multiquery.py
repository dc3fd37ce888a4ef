"""Multi-query pooling against a loop, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from edgereid.errors import InputError, UsageError
from edgereid.retrieval.multiquery import pool_queries


@pytest.mark.parametrize("how", ["mean", "max"])
def test_pooling_is_that_of_a_loop(how: str) -> None:
    rng = np.random.default_rng(0)
    pids, camids = rng.integers(1, 6, 80), rng.integers(0, 3, 80)
    features = rng.standard_normal((80, 16)).astype(np.float32)
    query = np.unique(np.stack([pids, camids], 1), axis=0)[::-1]
    got = pool_queries(query[:, 0], query[:, 1], features, pids, camids, how)
    for row, (pid, camid) in zip(got, query, strict=True):
        mine = features[(pids == pid) & (camids == camid)].astype(np.float64)
        pooled = mine.mean(0) if how == "mean" else mine.max(0)
        np.testing.assert_allclose(row, pooled, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", ["mean", "max"])
def test_one_image_a_query_is_the_single_query(how: str) -> None:
    """Of any length: a Euclidean distance compares it with a gallery of that length."""
    x = 20 * np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)
    pids, camids = np.arange(1, 6), np.zeros(5, dtype=np.int64)
    np.testing.assert_array_equal(pool_queries(pids, camids, x, pids, camids, how), x)


def test_the_order_of_the_pool_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    x, pids, camids = rng.standard_normal((30, 4)), rng.integers(1, 4, 30), np.ones(30, int)
    order = rng.permutation(30)
    a = pool_queries([1, 2, 3], [1, 1, 1], x, pids, camids)
    b = pool_queries([1, 2, 3], [1, 1, 1], x[order], pids[order], camids[order])
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_query_without_images_is_named() -> None:
    x = np.ones((2, 3), dtype=np.float32)
    with pytest.raises(InputError, match="no image of person 7 by camera 2"):
        pool_queries([1, 7], [1, 2], x, [1, 1], [1, 1])


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(UsageError, match="mean, max"):
        pool_queries([1], [1], np.ones((1, 2)), [1], [1], "median")
