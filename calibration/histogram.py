"""What a tensor's values looked like: a histogram that streams, merges and re-bins exactly.

A bin is a power of two wide and the bins lie symmetrically about zero, so doubling the width joins
neighbouring bins and moves no value across an edge. The width in use is the narrowest that holds
every value seen. Hence the state depends only on the values, not on their order, on the size of
the batches or on how they were split between histograms that are merged afterwards. The same holds
for the extremes of every image, whose sums are kept exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError

#: Bins on each side of zero. 8 bits resolve 255 levels; 8 to 16 bins a level are enough to choose.
HALF = 2048
#: The narrowest bin, 2**-64: a tensor that is all zeros keeps it.
MIN_EXPONENT = -64
#: Every float32 is a whole multiple of 2**-149: sums of such multiples know no order.
_UNIT_EXPONENT = 149


def _exponent_for(magnitude: float) -> int:
    """The least e >= MIN_EXPONENT with ``magnitude < HALF * 2**e``."""
    if magnitude == 0.0:
        return MIN_EXPONENT
    _, e = math.frexp(magnitude / HALF)  # magnitude / HALF = m * 2**e with 0.5 <= m < 1
    return max(e, MIN_EXPONENT)


def _exact_sum(values: NDArray[np.float32]) -> int:
    """The sum in units of 2**-149."""
    return sum(int(math.ldexp(float(v), _UNIT_EXPONENT)) for v in values)


@dataclass(slots=True)
class Histogram:
    """Counts of one tensor's values, with their exact minimum, maximum and number.

    Bin i of ``counts`` (2 * HALF, int64) holds the values in
    ``[(i - HALF) * width, (i - HALF + 1) * width)``. ``low_sum`` and ``high_sum`` are the sums over
    ``images`` of each one's extremes, exactly, in units of 2**-149.
    """

    name: str
    exponent: int = MIN_EXPONENT
    low: float = math.inf
    high: float = -math.inf
    count: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2 * HALF, dtype=np.int64))
    images: int = 0
    low_sum: int = 0
    high_sum: int = 0

    @property
    def mean_extremes(self) -> tuple[float, float]:
        """The mean over the images of the least and of the greatest value of each."""
        unit = max(self.images, 1) << _UNIT_EXPONENT
        return float(Fraction(self.low_sum, unit)), float(Fraction(self.high_sum, unit))

    @property
    def width(self) -> float:
        """The width of a bin, a power of two."""
        return math.ldexp(1.0, self.exponent)

    @property
    def edges(self) -> NDArray[np.float64]:
        """The 2 * HALF + 1 edges of the bins."""
        return np.arange(-HALF, HALF + 1, dtype=np.float64) * self.width

    def add(self, values: NDArray[np.float32]) -> None:
        """Count an array of any shape, float32; its first axis counts images.

        Raises InputError that names the tensor when a value is NaN or infinite; the histogram is
        then as it was.
        """
        from edgereid.native import histogram_add

        flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
        if flat.size == 0:
            return
        rows = flat.reshape(len(values) if np.ndim(values) else 1, -1)
        lows, highs = rows.min(axis=1), rows.max(axis=1)
        low, high = float(lows.min()), float(highs.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            bad = flat.size - int(np.isfinite(flat).sum())
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
        self.images += len(rows)
        self.low_sum += _exact_sum(lows)
        self.high_sum += _exact_sum(highs)

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
    return Histogram(
        a.name,
        exponent,
        low=min(a.low, b.low),
        high=max(a.high, b.high),
        count=a.count + b.count,
        counts=parts[0] + parts[1],
        images=a.images + b.images,
        low_sum=a.low_sum + b.low_sum,
        high_sum=a.high_sum + b.high_sum,
    )


def merge_shards(shards: Iterable[Mapping[str, Histogram]]) -> dict[str, Histogram]:
    """The histograms (tensor -> histogram) of several passes as those of one over all images, in
    whatever order the passes are given and however the images were split between them.

    Raises InputError when there is no shard, or when they are of different tensors.
    """
    parts = list(shards)
    if not parts or any(part.keys() != parts[0].keys() for part in parts):
        raise InputError("the shards have not counted the same tensors: calibrate each alike.")
    return {name: reduce(merge, (part[name] for part in parts)) for name in parts[0]}
