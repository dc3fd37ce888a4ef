"""Random numbers that are the same on every machine and with every NumPy.

NumPy promises stable streams for its bit generators and for ``SeedSequence``, not for the
distributions of ``Generator`` (NEP 19). So every number here is made from the raw bits of a
Philox generator [Salmon et al., SC 2011], keyed by what is drawn: one key, one stream. No
stream depends on which other streams were read, nor in which process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_TO_UNIT = 2.0**-53
_ROOT_THREE = 1.7320508075688772


class Draws:
    """A stream of random numbers, determined by ``key`` (non-negative integers) alone."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.Philox(np.random.SeedSequence(key))

    def unit(self) -> float:
        """A number in [0, 1)."""
        return float(int(self._bits.random_raw()) >> 11) * _TO_UNIT

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def bell(self, centre: float, spread: float) -> float:
        """A bell-shaped number of standard deviation ``spread``, within 3.5 of them.

        The sum of four uniforms: it needs no transcendental function, so no rounding of libm.
        """
        total = self.unit() + self.unit() + self.unit() + self.unit()
        return centre + spread * _ROOT_THREE * (total - 2.0)

    def below(self, bound: int) -> int:
        """An integer in [0, bound)."""
        return int(self.unit() * bound)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[self.below(len(options))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One of the keys, each as likely as its weight."""
        left = self.unit() * sum(weights.values())
        for option, weight in weights.items():
            left -= weight
            if left < 0.0:
                return option
        return option

    def noise(self, *shape: int) -> NDArray[np.float32]:
        """Noise of the given shape, about bell-shaped, mean 0 and standard deviation 1."""
        size = int(np.prod(shape))
        raw = np.asarray(self._bits.random_raw((size + 1) // 2), dtype="<u8")
        quarters = raw.view(np.uint8).reshape(-1, 4)[:size]
        total = quarters.sum(axis=1, dtype=np.int32).astype(np.float32)
        # Four bytes of variance (256^2 - 1) / 12 each.
        return np.asarray((total - 510.0) / 147.8, dtype=np.float32).reshape(shape)
