"""The heads of ranked lists against a loop that sorts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.errors import UsageError
from edgereid.retrieval import evaluate, ranking
from edgereid.retrieval.ranking import ranked_lists


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_lists_are_those_of_sorting_without_what_is_passed_over(metric: str) -> None:
    rng = np.random.default_rng(0)
    query, gallery = rng.standard_normal((12, 8)), rng.standard_normal((60, 8))
    qp, qc = rng.integers(0, 6, 12), rng.integers(0, 3, 12)
    gp, gc = rng.integers(-1, 6, 60), rng.integers(0, 3, 60)
    lists = ranked_lists(query, qp, qc, gallery, gp, gc, k=9, metric=metric)
    result = evaluate(query, qp, qc, gallery, gp, gc, metric=metric)
    np.testing.assert_array_equal(lists.query_index, result.query_index)
    np.testing.assert_array_equal(lists.first_match, result.first_match)
    for row, q in enumerate(lists.query_index):
        if metric == "cosine":
            lengths = np.linalg.norm(query[q]) * np.linalg.norm(gallery, axis=1)
            distance = 1 - gallery @ query[q] / lengths
        else:
            distance = np.linalg.norm(gallery - query[q], axis=1)
        order = [
            j
            for j in np.argsort(distance)
            if gp[j] != -1 and not (gp[j] == qp[q] and gc[j] == qc[q])
        ][:9]
        assert lists.gallery_index[row].tolist() == order
        np.testing.assert_allclose(lists.distance[row], distance[order], atol=1e-5)
        assert lists.right[row].tolist() == [gp[j] == qp[q] for j in order]


def test_a_gallery_smaller_than_the_list_is_filled_up() -> None:
    x = np.eye(3, dtype=np.float32)
    lists = ranked_lists(x[:1], [1], [1], x, [1, 2, -1], [2, 1, 1], k=5)
    assert lists.gallery_index[0].tolist() == [0, 1, -1, -1, -1]
    assert lists.right[0].tolist() == [True, False, False, False, False]
    assert np.isinf(lists.distance[0, 2:]).all()


def test_equal_distances_stand_in_the_order_of_the_gallery() -> None:
    same = np.ones((4, 2), dtype=np.float32)
    lists = ranked_lists(same[:1], [1], [1], same, [2, 1, 3, 1], [2, 2, 2, 3], k=4)
    assert lists.gallery_index[0].tolist() == [0, 1, 2, 3]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.data())
def test_the_smallest_are_the_head_of_a_stable_sort(values: list[int], data: st.DataObject) -> None:
    row = np.array(values, dtype=np.float32)
    count = data.draw(st.integers(1, len(row)))
    want = np.argsort(row, kind="stable")[:count]
    assert ranking._smallest(row, count).tolist() == want.tolist()


def test_lists_of_no_entries_are_refused() -> None:
    x = np.eye(2, dtype=np.float32)
    with pytest.raises(UsageError, match="at least 1"):
        ranked_lists(x[:1], [1], [1], x, [1, 2], [2, 1], k=0)
