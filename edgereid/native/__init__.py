"""Compiled kernels (C++ in ``src/``, which knows nothing of Python), as typed functions.

There is no second implementation to fall back on: without the extension the import fails with
MissingRuntimeError. The arrays must be contiguous and of the stated dtype, else TypeError or
ValueError: conversion is the caller's decision. Every function releases the interpreter lock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError, MissingRuntimeError

try:
    import edgereid.native._kernels as _kernels
except ImportError as error:
    raise MissingRuntimeError(
        f"edgereid's compiled kernels cannot be loaded ({error}): build them with "
        "`pip install .` in the source folder (a C++17 compiler is needed)."
    ) from error

__all__ = ["NearestTable", "ReciprocalEncoding", "histogram_add", "match_ranks", "min_max"]

#: What k-reciprocal re-ranking is made of; see ``edgereid.retrieval.rerank``.
NearestTable = _kernels.NearestTable
ReciprocalEncoding = _kernels.ReciprocalEncoding


def match_ranks(
    distances: NDArray[np.float32],
    match_offsets: NDArray[np.int64],
    matches: NDArray[np.int64],
    ignored_offsets: NDArray[np.int64],
    ignored: NDArray[np.int64],
    threads: int,
) -> NDArray[np.int64]:
    """Ranks, from 1, of the true matches of each row, ascending within a row.

    ``distances`` is (Q, G), smaller is nearer, no NaN. Row q's true matches are
    ``matches[match_offsets[q]:match_offsets[q + 1]]`` (gallery indices), and likewise the entries
    it ignores. Equal distances stand in the order of the gallery. The result is laid out as
    ``matches``. Nothing is sorted but the result: Q * matches * G comparisons, vectorised.
    """
    ranks = np.empty(len(matches), dtype=np.int64)
    _kernels.match_ranks(
        distances, match_offsets, matches, ignored_offsets, ignored, ranks, max(1, threads)
    )
    return ranks


def histogram_add(
    values: NDArray[np.float32], counts: NDArray[np.int64], inverse_width: float
) -> None:
    """Count ``values`` (1-D) into ``counts``: 2H bins, symmetric about zero, changed in place.

    Value v goes to bin ``floor(v * inverse_width) + H`` (the product rounded to float32), what lies
    outside to the first or the last bin; bins are ``1 / inverse_width`` wide.

    Raises InputError when a value is NaN; ``counts`` is then as it was.
    """
    if not _kernels.histogram_add(values, counts, inverse_width):
        raise InputError("a histogram was given NaN: the network's activations are not numbers.")


def min_max(values: NDArray[np.float32]) -> tuple[float, float, int]:
    """Least and greatest finite value of ``values`` (1-D), and how many are NaN or infinite.

    Without a finite value the range is empty: ``(inf, -inf, count)``.
    """
    return _kernels.min_max(values)
