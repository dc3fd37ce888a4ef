"""How far embeddings moved, as cosine distance sees them.

The plain cosine flatters, since embeddings of different people are alike anyway; so the mean
embedding is removed. Lengths are removed first: where a few images are long, the mean is theirs,
and seen from that mean all other images lie in one direction, wherever they moved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]


def unit_rows(features: Rows) -> NDArray[np.float64]:
    """Rows (N, D) scaled to length 1, in float64; rows of zeros stay."""
    x = features.astype(np.float64)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # infinity by infinity is NaN, and says so itself
        return x / np.where(norms > 0.0, norms, 1.0)


def centred(reference: Rows, features: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both (N, D), scaled to length 1, less the mean row of ``reference``: the gallery may stay the
    float network's, so a shift of all embeddings counts as moved."""
    a, b = unit_rows(reference), unit_rows(features)
    mean = a.mean(axis=0)
    return a - mean, b - mean


def centred_cosines(reference: Rows, features: Rows) -> NDArray[np.float64]:
    """Of each row of ``features`` (N, D) with that of ``reference``, both ``centred``: (N,).

    1 where the rows are equal, 0 where one is not finite or lies on the mean.
    """
    a, b = centred(reference, features)
    dots, norms = (a * b).sum(axis=1), np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    good = np.isfinite(dots) & np.isfinite(norms) & (norms > 0.0)
    found = np.divide(dots, norms, out=np.zeros(len(a)), where=good)
    return np.where((reference == features).all(axis=1), 1.0, found)
