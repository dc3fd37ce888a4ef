"""What arrays must be before they are ranked: shape, dtype, finite values, valid person ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgereid.errors import InputError
from edgereid.native import min_max
from edgereid.retrieval.protocol import JUNK_PID


def matrix(name: str, values: NDArray[np.floating]) -> NDArray[np.float32]:
    """``values`` (N, D), N and D at least 1, finite, as contiguous float32; else InputError."""
    array = np.asarray(values)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        got = f"{array.ndim}-D {array.dtype}"
        raise InputError(f"{name}: a 2-D array of floats is needed, got {got}.")
    if array.size == 0:
        raise InputError(f"{name}: the array is empty, its shape is {array.shape}.")
    with np.errstate(over="ignore"):  # what does not fit float32 is reported as infinite below
        result = np.ascontiguousarray(array, dtype=np.float32)
    if bad := min_max(result.reshape(-1))[2]:
        raise InputError(f"{name}: {bad} of {result.size} values are NaN or infinite in float32.")
    return result


def person_ids(name: str, values: ArrayLike, count: int) -> NDArray[np.int64]:
    """``values`` (count,): -1 junk, 0 distractor, else an identity; else InputError."""
    pids = integers(f"{name} person ids", values, count)
    if (least := int(pids.min())) < JUNK_PID:
        raise InputError(
            f"{name} person id {least}: -1 is junk, 0 a distractor, persons are above."
        )
    return pids


def integers(name: str, values: ArrayLike, count: int) -> NDArray[np.int64]:
    """``values`` (count,) of an integer type as int64; else InputError."""
    array = np.asarray(values)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        got = f"{array.ndim}-D {array.dtype}"
        raise InputError(f"{name}: a 1-D array of integers is needed, got {got}.")
    if len(array) != count:
        raise InputError(f"{name}: {len(array)} of them for {count} rows.")
    return array.astype(np.int64)
