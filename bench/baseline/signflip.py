"""Whether accuracy on the same queries has changed: a sign-flip test over persons.

If nothing but chance tells two engines apart, the difference that a person's queries show might as
well have had the other sign; so the sum of the differences is set against its sums under all sign
patterns (R. Fisher, "The Design of Experiments", 1935, section 21). The queries of one person
keep one sign: they are not independent. Unlike an interval it stays exact for few persons: where
three persons changed, no drop can be called significant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 9_999
#: Up to so many persons that changed, all 2^n sign patterns are counted.
EXACT = 13
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class SignFlip:
    """Probability of at least this drop, and of at least this gain, by chance alone."""

    p_drop: float
    p_gain: float


def sign_flip(
    before: Sequence[float], after: Sequence[float], pids: Sequence[int], seed: int = 0
) -> SignFlip:
    """Test a per-query measure, (queries,) each, grouped by ``pids`` (queries,)."""
    difference = np.asarray(before, dtype=np.float64) - np.asarray(after, dtype=np.float64)
    _, who = np.unique(np.asarray(pids), return_inverse=True)
    sums = np.asarray(np.bincount(who, weights=difference), dtype=np.float64)
    sums = sums[np.abs(sums) > 1e-12]
    if not len(sums):
        return SignFlip(1.0, 1.0)
    drop, size = float(sums.sum()), float(np.abs(sums).sum())
    flipped = _all(sums) if len(sums) <= EXACT else _drawn(sums, seed)
    # What was observed counts as one of the drawn patterns; among all patterns it is already there.
    extra = 0 if len(sums) <= EXACT else 1
    count = len(flipped) + extra
    tolerance = 1e-9 * size
    as_low = int((flipped >= drop - tolerance).sum()) + extra
    as_high = int((flipped <= drop + tolerance).sum()) + extra
    return SignFlip(as_low / count, as_high / count)


def _all(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    n = len(sums)
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    found: NDArray[np.float64] = (2.0 * bits - 1.0) @ sums
    return found


def _drawn(sums: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, DRAWS, _CHUNK):
        count = min(_CHUNK, DRAWS - start)
        signs = rng.integers(0, 2, size=(count, len(sums)), dtype=np.int8)
        parts.append((2.0 * signs - 1.0) @ sums)
    return np.concatenate(parts)
