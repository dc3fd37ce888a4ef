"""From the ranks of the true matches to CMC, average precision and inverse negative penalty.

All take ``ranks``, the 1-based ranks of the true matches of all queries one after another,
ascending within a query, and ``offsets`` (V + 1,): query v owns
``ranks[offsets[v]:offsets[v + 1]]``, at least one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def first_match(ranks: Ints, offsets: Ints) -> Ints:
    """(V,) rank of the first true match; CMC at k is the share of queries where it is <= k."""
    return ranks[offsets[:-1]]


def average_precision(ranks: Ints, offsets: Ints) -> Floats:
    """(V,) mean over the true matches of the precision at their ranks.

    AP = (1 / K) * sum_k k / rank_k, as scikit-learn and torchreid define it (no interpolation).
    """
    return _mean(_number(offsets) / ranks, offsets)


def trapezoid_average_precision(ranks: Ints, offsets: Ints) -> Floats:
    """(V,) area under the precision-recall curve by trapezoids, as in Market-1501's own toolkit.

    AP = (1 / K) * sum_k (p_k + k / rank_k) / 2 with p_k the precision one rank before match k,
    which is (k - 1) / (rank_k - 1), or 1 at the top of the list; never above ``average_precision``.
    """
    number = _number(offsets)
    before = np.divide(number - 1.0, ranks - 1.0, out=np.ones(len(ranks)), where=ranks > 1)
    return _mean((before + number / ranks) / 2, offsets)


def inverse_negative_penalty(ranks: Ints, offsets: Ints) -> Floats:
    """(V,) number of true matches / rank of the hardest one; its mean is mINP.

    Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021.
    """
    return np.diff(offsets) / ranks[offsets[1:] - 1]


def _number(offsets: Ints) -> Floats:
    """1, 2, .. K for every query, one after another."""
    counts = np.diff(offsets)
    return 1.0 + np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)


def _mean(values: Floats, offsets: Ints) -> Floats:
    sums: Floats = np.add.reduceat(values, offsets[:-1])
    return sums / np.diff(offsets)
