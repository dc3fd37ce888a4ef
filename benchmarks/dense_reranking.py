"""The peer: k-reciprocal re-ranking with dense matrices in NumPy, step for step as the public
implementations have it (Zhong et al., CVPR 2017, and the re-ID libraries that carry their code).

``benchmarks/rerank_speed.py`` times it, the tests compare ours with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def distances(features: Floats) -> Floats:
    """Squared Euclidean distances (N, N), zero on the diagonal."""
    squares = np.einsum("nd,nd->n", features, features)
    out: Floats = -2 * features @ features.T
    out += squares[:, None]
    out += squares
    np.maximum(out, 0, out=out)
    np.fill_diagonal(out, 0)
    return out


def rerank(
    query: Floats, gallery: Floats, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> Floats:
    """Final distances (Q, G)."""
    original = distances(np.concatenate([query, gallery]))
    original = np.transpose(original / np.max(original, axis=0))
    initial_rank = np.argsort(original).astype(np.int32)
    encoding = _encoding(original, initial_rank, k1)
    original = original[: len(query)]
    if k2 != 1:
        expanded = np.zeros_like(encoding)
        for i in range(len(encoding)):
            expanded[i] = np.mean(encoding[initial_rank[i, :k2]], axis=0)
        encoding = expanded
    del initial_rank
    jaccard = _jaccard(encoding, len(query))
    final: Floats = jaccard * (1 - weight) + original * weight
    return final[:, len(query) :]


def _reciprocal(rank: NDArray[np.int32], i: int, k: int) -> NDArray[np.int32]:
    forward = rank[i, : k + 1]
    backward = rank[forward, : k + 1]
    found: NDArray[np.int32] = forward[np.where(backward == i)[0]]
    return found


def _encoding(original: Floats, rank: NDArray[np.int32], k1: int) -> Floats:
    out = np.zeros_like(original)
    for i in range(len(original)):
        own = _reciprocal(rank, i, k1)
        expanded = own
        for candidate in own:
            theirs = _reciprocal(rank, int(candidate), int(np.around(k1 / 2)))
            if len(np.intersect1d(theirs, own)) > 2 / 3 * len(theirs):
                expanded = np.append(expanded, theirs)
        expanded = np.unique(expanded)
        weight = np.exp(-original[i, expanded])
        out[i, expanded] = weight / np.sum(weight)
    return out


def _jaccard(encoding: Floats, queries: int) -> Floats:
    pointing = [np.where(encoding[:, i] != 0)[0] for i in range(len(encoding))]
    out = np.zeros((queries, len(encoding)), dtype=np.float32)
    for i in range(queries):
        overlap = np.zeros(len(encoding), dtype=np.float32)
        for j in np.where(encoding[i] != 0)[0]:
            them = pointing[j]
            overlap[them] += np.minimum(encoding[i, j], encoding[them, j])
        out[i] = 1 - overlap / (2 - overlap)
    return out
