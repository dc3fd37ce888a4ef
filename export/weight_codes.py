"""A layer's weights as the Q/DQ writer stores them: 8-bit integers and a scale per output channel.

Whoever rounds weights, by nearest, by reconstruction or by training, hands the writer these codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.scheme import INT8, MIN_SCALE
from edgereid.errors import InputError

#: Clips that are tried, as shares of a channel's largest magnitude, the whole of it first.
_SHARES = np.linspace(1.0, 0.5, 26)


@dataclass(frozen=True, slots=True)
class WeightCodes:
    """``integers`` (the weight's shape, int8, -127..127) and ``scale`` (float32, above zero), one
    for each index of ``axis``. Raises InputError when they do not fit together."""

    integers: NDArray[np.int8]
    scale: NDArray[np.float32]
    axis: int

    def __post_init__(self) -> None:
        shape = self.integers.shape
        if not 0 <= self.axis < len(shape) or self.scale.shape != (shape[self.axis],):
            raise InputError(
                f"weight codes of shape {shape} need one scale for each index of axis "
                f"{self.axis}, not {self.scale.shape}."
            )
        if self.integers.dtype != np.int8 or self.scale.dtype != np.float32:
            raise InputError(
                f"weight codes are int8 with float32 scales, not {self.integers.dtype} with "
                f"{self.scale.dtype}."
            )
        if (self.integers < -INT8.qmax).any():
            raise InputError(f"weight codes lie in -{INT8.qmax}..{INT8.qmax}, not at -128.")
        if not (np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise InputError("the scales of weight codes are finite and above zero.")

    def values(self) -> NDArray[np.float32]:
        """The weights that an engine computes with."""
        scale = along(self.scale, self.axis, self.integers.ndim)
        return np.asarray(self.integers.astype(np.float32) * scale, dtype=np.float32)


def along(vector: NDArray[Any], axis: int, ndim: int) -> NDArray[Any]:
    """A vector shaped to multiply an array of ``ndim`` dimensions along ``axis``."""
    shape = [1] * ndim
    shape[axis] = -1
    return vector.reshape(shape)


def round_to(weight: NDArray[np.float32], scale: NDArray[np.float32], axis: int) -> WeightCodes:
    """The nearest integers on given scales."""
    levels = np.rint(weight / along(scale, axis, weight.ndim))
    return WeightCodes(np.clip(levels, -INT8.qmax, INT8.qmax).astype(np.int8), scale, axis)


def minmax(weight: NDArray[np.float32], axis: int) -> WeightCodes:
    """Scales that just hold the largest magnitude of each channel."""
    return round_to(weight, _scale(_peak(weight, axis)), axis)


def mse(weight: NDArray[np.float32], axis: int) -> WeightCodes:
    """Of ``_SHARES`` of each channel's largest magnitude the one with the least squared error; of
    equals the widest."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    peak = _peak(weight, axis)
    best = _scale(peak)
    least = np.full(len(peak), np.inf)
    for share in _SHARES:
        scale = _scale(peak * np.float32(share))
        error = round_to(weight, scale, axis).values() - weight
        loss = (error.astype(np.float64) ** 2).sum(axis=others)
        best = np.where(loss < least, scale, best)
        least = np.minimum(loss, least)
    return round_to(weight, best, axis)


def raised(codes: WeightCodes, least: NDArray[np.float64]) -> WeightCodes:
    """The codes with no scale below ``least`` (one an index of the axis); the integers of the
    scales that change are rounded anew, all others stay."""
    low = codes.scale < least
    if not low.any():
        return codes
    scale = np.where(low, least, codes.scale).astype(np.float32)
    anew = round_to(codes.values(), scale, codes.axis).integers
    changed = along(low, codes.axis, codes.integers.ndim)
    return WeightCodes(np.where(changed, anew, codes.integers), scale, codes.axis)


def _peak(weight: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    others = tuple(i for i in range(weight.ndim) if i != axis)
    peak: NDArray[np.float32] = np.abs(weight).max(axis=others)
    return peak


def _scale(peak: NDArray[np.float32]) -> NDArray[np.float32]:
    scale = np.maximum(peak / np.float32(INT8.qmax), np.float32(MIN_SCALE))
    return np.asarray(scale, dtype=np.float32)


#: How the scales of weights are chosen; the names are those of ``edgereid.export.repair.options``.
WEIGHTS: dict[str, Callable[[NDArray[np.float32], int], WeightCodes]] = {
    "minmax": minmax,
    "mse": mse,
}
