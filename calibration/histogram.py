"""What a tensor's values looked like: a histogram that streams, merges and re-bins exactly.

A bin is a power of two wide and the bins lie symmetrically about zero, so doubling the width joins
neighbouring bins and moves no value across an edge. The width in use is the narrowest that holds
every value seen. Hence the state depends only on the values, not on their order, on the size of
the batches or on how they were split between histograms that are merged afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError

#: Bins on each side of zero. 8 bits resolve 255 levels; 8 to 16 bins a level are enough to choose.
HALF = 2048
#: The narrowest bin, 2**-64: a tensor that is all zeros keeps it.
MIN_EXPONENT = -64


def _exponent_for(magnitude: float) -> int:
    """The least e >= MIN_EXPONENT with ``magnitude < HALF * 2**e``."""
    if magnitude == 0.0:
        return MIN_EXPONENT
    _, e = math.frexp(magnitude / HALF)  # magnitude / HALF = m * 2**e with 0.5 <= m < 1
    return max(e, MIN_EXPONENT)


@dataclass(slots=True)
class Histogram:
    """Counts of one tensor's values, with their exact minimum, maximum and number.

    Bin i of ``counts`` (2 * HALF, int64) holds the values in
    ``[(i - HALF) * width, (i - HALF + 1) * width)``.
    """

    name: str
    exponent: int = MIN_EXPONENT
    low: float = math.inf
    high: float = -math.inf
    count: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2 * HALF, dtype=np.int64))

    @property
    def width(self) -> float:
        """The width of a bin, a power of two."""
        return math.ldexp(1.0, self.exponent)

    @property
    def edges(self) -> NDArray[np.float64]:
        """The 2 * HALF + 1 edges of the bins."""
        return np.arange(-HALF, HALF + 1, dtype=np.float64) * self.width

    def add(self, values: NDArray[np.float32]) -> None:
        """Count an array of any shape, float32.

        Raises InputError that names the tensor when a value is NaN or infinite; the histogram is
        then as it was.
        """
        from edgereid.native import histogram_add, min_max

        flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
        if flat.size == 0:
            return
        low, high, bad = min_max(flat)
        if bad:
            raise InputError(
                f"tensor {self.name!r} holds NaN or infinity in {bad:,} of {flat.size:,} values: "
                "the network cannot be calibrated; check its weights."
            )
        self._widen(_exponent_for(max(abs(low), abs(high))))
        inverse_width = math.ldexp(1.0, -self.exponent)
        histogram_add(flat, self.counts, inverse_width)
        if low < 0.0 and inverse_width < 1.0:
            # Of a tiny negative value the product underflows to zero; it still lies below zero.
            lost = np.count_nonzero((flat < 0) & (flat * np.float32(inverse_width) == 0))
            self.counts[HALF] -= lost
            self.counts[HALF - 1] += lost
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.count += flat.size

    def _widen(self, exponent: int) -> None:
        """Join neighbouring bins until they are ``2**exponent`` wide; narrower bins stay."""
        for _ in range(min(exponent - self.exponent, HALF.bit_length())):
            pairs = self.counts.reshape(-1, 2).sum(axis=1)  # bins 2j and 2j + 1, counted from zero
            self.counts = np.zeros_like(self.counts)
            self.counts[HALF // 2 : HALF // 2 + HALF] = pairs
        self.exponent = max(self.exponent, exponent)


def merge(a: Histogram, b: Histogram) -> Histogram:
    """A new histogram of the values of both, equal to one that saw them all."""
    if a.name != b.name:
        raise InputError(f"histograms of two tensors, {a.name!r} and {b.name!r}, do not merge.")
    exponent = max(a.exponent, b.exponent)
    parts = []
    for h in (a, b):
        copy = Histogram(h.name, h.exponent, counts=h.counts.copy())
        copy._widen(exponent)
        parts.append(copy.counts)
    low, high = min(a.low, b.low), max(a.high, b.high)
    return Histogram(a.name, exponent, low, high, a.count + b.count, parts[0] + parts[1])
