"""From a histogram to the range that a grid covers: what is decided, apart from what was seen.

Every method is a pure function of a histogram and a scheme; the histogram is not changed. Sources:
percentile and entropy as in NVIDIA's 8-bit inference with TensorRT (Migacz, GTC 2017), entropy with
its two known faults excluded (it works on a copy, and the spike at zero does not steer it); mse is
the least expected squared error of rounding and clipping.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.histogram import HALF, Histogram
from edgereid.calibration.scheme import Range, Scheme
from edgereid.errors import InputError, UsageError

PERCENTILE = 99.99
#: The method of each tensor is chosen by the error at the output: ``edgereid.calibration.auto``.
AUTO = "auto"
#: One method for all tensors is chosen by the error at the output: ``edgereid.export.best``.
BEST = "best"
_ENTROPY_STEP = 8  # bins between two candidates: 0.4 % of the range
_MSE_CANDIDATES = 160


@dataclass(frozen=True, slots=True)
class Decision:
    """How to choose: ``method`` of METHODS, AUTO or BEST; ``percentile``, 50 to 100, for that
    method."""

    method: str = "mse"
    percentile: float = PERCENTILE

    def __post_init__(self) -> None:
        if self.method not in (*METHODS, AUTO, BEST):
            known = ", ".join((*METHODS, AUTO, BEST))
            raise UsageError(f"unknown method {self.method!r}: {known}.")
        if not 50.0 < self.percentile <= 100.0:
            raise UsageError(f"percentile {self.percentile}: above 50 and at most 100 is allowed.")


def threshold(histogram: Histogram, decision: Decision, scheme: Scheme) -> Range:
    """The range of the real values that ``scheme``'s grid should cover for this tensor.

    Raises InputError on an empty histogram, UsageError for a grid without negative numbers on a
    tensor that has some, and for AUTO and BEST, which no histogram alone can decide.
    """
    if decision.method in (AUTO, BEST):
        raise UsageError(
            f"method {decision.method} compares embeddings: it needs the network and images."
        )
    if histogram.count == 0:
        raise InputError(f"tensor {histogram.name!r} was never seen: calibrate on some images.")
    if scheme.symmetric and scheme.qmin == 0 and histogram.low < 0:
        raise UsageError(f"tensor {histogram.name!r} has negative values: {scheme.name} has none.")
    return METHODS[decision.method](histogram, decision, scheme)


def _observed(h: Histogram) -> Range:
    return Range(min(h.low, 0.0), max(h.high, 0.0))


def _within(h: Histogram, low: float, high: float) -> Range:
    """A range no wider than what was seen."""
    seen = _observed(h)
    return Range(max(-abs(low), seen.low), min(abs(high), seen.high))


def minmax(h: Histogram, decision: Decision, scheme: Scheme) -> Range:
    """All that was seen."""
    return _observed(h)


def average(h: Histogram, decision: Decision, scheme: Scheme) -> Range:
    """From the mean of the images' minima to the mean of their maxima.

    The moving average of min-max observers depends on the order of the images and on the size of
    the batches; this mean over single images is what it tends to, and depends on neither.
    """
    low, high = h.mean_extremes
    return _within(h, min(low, 0.0), max(high, 0.0))


def percentile(h: Histogram, decision: Decision, scheme: Scheme) -> Range:
    """All but the largest magnitudes; with an affine grid half of them are cut from each end.

    The range ends at the outer edge of the bin in which the percentile lies.
    """
    cut = (1.0 - decision.percentile / 100.0) * h.count
    if scheme.symmetric:
        edge = _last_needed(_magnitudes(h), cut) * h.width
        return _within(h, edge, edge)
    low = _last_needed(h.counts[HALF - 1 :: -1], cut / 2) * h.width
    high = _last_needed(h.counts[HALF:], cut / 2) * h.width
    return _within(h, low, high)


def _last_needed(counts: NDArray[np.int64], cut: float) -> int:
    """How many bins, from zero outwards, so that at most ``cut`` values lie beyond them."""
    beyond = counts.sum() - np.cumsum(counts)
    return int(np.argmax(beyond <= cut)) + 1


def _magnitudes(h: Histogram) -> NDArray[np.int64]:
    """Counts of |x|, HALF bins."""
    return h.counts[HALF:] + h.counts[HALF - 1 :: -1]


def entropy(h: Histogram, decision: Decision, scheme: Scheme) -> Range:
    """The clip of |x| that loses least information: KL(clipped distribution || its quantised form).

    The quantised form has as many levels on a side as the grid, and each level's mass lies evenly
    on the bins that hold values.
    """
    counts = _magnitudes(h).astype(np.float64)
    counts[0] = min(counts[0], counts[1])  # zero is on every grid: its mass says nothing
    levels = (scheme.qmax - scheme.qmin + 1) // (1 if scheme.qmin == 0 and scheme.symmetric else 2)
    used = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 1
    if used <= levels:
        return _observed(h)
    candidates = [*range(levels, used, _ENTROPY_STEP), used]
    losses = [_divergence(counts[:used], n, levels) for n in candidates]
    edge = candidates[int(np.argmin(losses))] * h.width
    return _within(h, edge, edge)


def _divergence(counts: NDArray[np.float64], n: int, levels: int) -> float:
    """KL(P || Q): P keeps the first ``n`` bins, with all beyond added to the last; Q is those bins,
    without what lay beyond, in ``levels`` levels."""
    kept = counts[:n]
    reference = kept.copy()
    reference[-1] += counts[n:].sum()
    level = np.arange(n) * levels // n  # which level a bin belongs to
    filled = kept > 0
    mass = np.bincount(level, weights=kept, minlength=levels)
    bins = np.bincount(level, weights=filled, minlength=levels)
    quantised = np.where(filled, (mass / np.maximum(bins, 1.0))[level], 0.0)
    p = reference / reference.sum()
    total = quantised.sum()
    if total == 0.0:
        return np.inf
    q = np.maximum(quantised / total, 1e-12)  # P may have mass in a last bin that was empty
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())


def mse(h: Histogram, decision: Decision, scheme: Scheme) -> Range:
    """The range with the least mean squared error, values standing at the centres of their bins."""
    occupied = np.flatnonzero(h.counts)
    centres = (occupied - HALF + 0.5) * h.width
    weights = h.counts[occupied].astype(np.float64)
    seen = _observed(h)
    best, least = seen, np.inf
    for k in range(_MSE_CANDIDATES, _MSE_CANDIDATES // 20, -1):
        share = k / _MSE_CANDIDATES
        if scheme.symmetric:
            magnitude = share * max(-seen.low, seen.high)
            candidate = Range(max(-magnitude, seen.low), min(magnitude, seen.high))
        else:
            candidate = Range(share * seen.low, share * seen.high)
        error = scheme.fake_quantize(centres, candidate) - centres
        loss = float(weights @ (error * error))
        if loss < least:
            best, least = candidate, loss
    return best


METHODS: dict[str, Callable[[Histogram, Decision, Scheme], Range]] = {
    "minmax": minmax,
    "average": average,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mse,
}
