"""Does an engine give what the network gives? Compared in every batch size and in any order.

NumPy only: the caller brings the network's own features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

BATCHES = (1, 7, 32)
SINGLES = 8  # of batch 1 this many images are enough
MIN_COSINE = 0.9999
#: Of any component, in units of their root mean square where that is above 1: features of others
#: may be large. Rounding in DSLNet gives 7e-5.
MAX_DIFFERENCE = 1e-3


@dataclass(frozen=True, slots=True)
class Parity:
    """The worst image over all batch sizes and a shuffled order."""

    cosine: float
    difference: float
    images: int
    batches: tuple[int, ...]

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"batches": list(self.batches)}

    @property
    def agrees(self) -> bool:
        """Whether every image agrees to ``MIN_COSINE`` and ``MAX_DIFFERENCE``."""
        return self.cosine >= MIN_COSINE and self.difference <= MAX_DIFFERENCE

    def require(self, what: str) -> None:
        """Raise InputError unless every image agrees."""
        if not self.agrees:
            raise InputError(
                f"{what} does not agree with the network: cosine {self.cosine:.6f} (at least "
                f"{MIN_COSINE}), largest difference {self.difference:.1e} (at most "
                f"{MAX_DIFFERENCE:.0e}) over batches {', '.join(map(str, self.batches))}; "
                "nothing was written."
            )


def measure_parity(
    run: Run, images: NDArray[np.float32], reference: NDArray[np.float32], seed: int = 0
) -> Parity:
    """Compare ``run`` with ``reference`` (N, D) on ``images`` (N, 3, H, W) at batch 1, odd and
    large, and with the images shuffled."""
    order = np.random.default_rng(seed).permutation(len(images))
    cosine, difference = 1.0, 0.0
    unit = max(1.0, float(np.sqrt((reference.astype(np.float64) ** 2).mean())))
    passes = [(b, np.arange(SINGLES if b == 1 else len(images))) for b in BATCHES]
    for batch, index in [*passes, (7, order)]:
        chosen = index[: len(images)]
        got = in_batches(run, images[chosen], batch)
        want = reference[chosen]
        difference = max(difference, float(np.abs(got - want).max()) / unit)
        cosine = min(cosine, float(cosines(got, want).min()))
    return Parity(cosine, difference, len(images), BATCHES)


def in_batches(run: Run, images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Features (N, D) of ``images``, ``size`` at a time."""
    return np.concatenate([run(images[i : i + size]) for i in range(0, len(images), size)])


def cosines(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosine of each row of ``a`` with that of ``b``; 0 where one is all zeros or not finite."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    dots = (x * y).sum(axis=1)
    good = np.isfinite(dots) & (norms > 0)
    return np.where(good, dots / np.where(good, norms, 1.0), 0.0)
