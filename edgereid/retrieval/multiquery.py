"""Multi-query search: all images of a person by one camera become one query.

Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015, section 5.2: the features
of the images are averaged, or the largest value of each dimension is taken; everything else is as
for a single query, and so is the number of queries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgereid.errors import InputError, UsageError
from edgereid.retrieval.checks import integers, matrix, person_ids

POOLINGS = ("mean", "max")


def pool_queries(
    query_pids: ArrayLike,
    query_camids: ArrayLike,
    pool_features: NDArray[np.floating],
    pool_pids: ArrayLike,
    pool_camids: ArrayLike,
    how: str = "mean",
) -> NDArray[np.float32]:
    """Features (Q, D) of the queries' persons and cameras, from images (P, D).

    ``how`` is "mean" or "max". The result has the scale of the images' features: the Euclidean
    distance compares it with a gallery of theirs. Raises InputError when a query has no image in
    the pool or the arrays do not fit, UsageError for an unknown ``how``.
    """
    if how not in POOLINGS:
        raise UsageError(f"multi-query pooling {how!r} is unknown: {', '.join(POOLINGS)}.")
    features = matrix("multi-query features", pool_features)
    pids = person_ids("multi-query", pool_pids, len(features))
    camids = integers("multi-query camera ids", pool_camids, len(features))
    wanted = np.asarray(query_pids)
    queries = np.stack(
        [
            person_ids("query", wanted, len(wanted)),
            integers("query camera ids", query_camids, len(wanted)),
        ],
        axis=1,
    )
    groups, group_of = np.unique(np.stack([pids, camids], axis=1), axis=0, return_inverse=True)
    order = np.argsort(group_of.reshape(-1), kind="stable")
    starts = np.searchsorted(group_of.reshape(-1)[order], np.arange(len(groups)))
    pooled = _POOL[how](features[order], starts)
    place = {(int(pid), int(camid)): i for i, (pid, camid) in enumerate(groups)}
    found = [place.get((int(pid), int(camid)), -1) for pid, camid in queries]
    if -1 in found:
        pid, camid = queries[found.index(-1)]
        raise InputError(
            f"multi-query: no image of person {pid} by camera {camid} ({found.count(-1)} of "
            f"{len(found)} queries have none): the folder of multi-query images is not complete."
        )
    return pooled[found]


def _mean(features: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    counts = np.diff([*starts, len(features)])
    sums: NDArray[np.float64] = np.add.reduceat(features, starts, axis=0, dtype=np.float64)
    return (sums / counts[:, None]).astype(np.float32)


def _max(features: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    largest: NDArray[np.float32] = np.maximum.reduceat(features, starts, axis=0)
    return largest


_POOL = {"mean": _mean, "max": _max}
