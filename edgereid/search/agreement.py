"""How far embeddings moved: error, centred cosine, best matches kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgereid.retrieval.centred import centred, centred_cosines, unit_rows
from edgereid.search.measured import Agreement

Floats = NDArray[np.float32]


def agreement_of(reference: Floats, features: Floats) -> Agreement:
    """Compare ``features`` (N, D) with the float network's ``reference`` of the same images.

    All are ``centred``; the error is relative to the reference's own spread, squared.
    """
    a, b = centred(reference, features)
    error = float(((a - b) ** 2).sum() / max(float((a**2).sum()), 1e-30))
    cosine = float(centred_cosines(reference, features).mean())
    return Agreement(error, cosine, _best_kept(unit_rows(reference), unit_rows(features)))


def _best_kept(old: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """The share of rows whose nearest other row of ``old`` is the same for the new row."""
    if len(old) < 2:
        return 1.0
    before, after = old @ old.T, new @ old.T
    np.fill_diagonal(before, -np.inf)
    np.fill_diagonal(after, -np.inf)
    return float((before.argmax(axis=1) == after.argmax(axis=1)).mean())
