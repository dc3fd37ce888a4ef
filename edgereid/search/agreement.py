"""How far embeddings moved: error, centred cosine, best matches kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgereid.retrieval.distances import unit
from edgereid.search.measured import Agreement

Floats = NDArray[np.float32]


def agreement_of(reference: Floats, features: Floats) -> Agreement:
    """Compare ``features`` (N, D) with the float network's ``reference`` of the same images.

    All are scaled to length 1, as cosine distance sees them, and the reference's mean is taken off
    both: the gallery stays the float network's, so a shift of all embeddings counts as error.
    """
    old, new = unit(reference).astype(np.float64), unit(features).astype(np.float64)
    mean = old.mean(axis=0)
    a, b = old - mean, new - mean
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = (a == b).all(axis=1)
    cosines = np.divide((a * b).sum(axis=1), norms, out=np.zeros(len(a)), where=norms > 0)
    error = float(((a - b) ** 2).sum() / max(float((a**2).sum()), 1e-30))
    cosine = float(np.where(same, 1.0, cosines).mean())
    return Agreement(error, cosine, _best_kept(old, new))


def _best_kept(old: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """The share of rows whose nearest other row of ``old`` is the same for the new row."""
    if len(old) < 2:
        return 1.0
    before, after = old @ old.T, new @ old.T
    np.fill_diagonal(before, -np.inf)
    np.fill_diagonal(after, -np.inf)
    return float((before.argmax(axis=1) == after.argmax(axis=1)).mean())
