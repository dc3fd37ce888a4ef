"""Constants in FP16: rounded, kept inside its range, and refused where neither is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.scheme import MIN_SCALE
from edgereid.errors import InputError
from edgereid.export.typed.conditions import LARGEST, NORMAL, SCALE_ERROR

_SMALLEST = np.float16(2.0**-24)


def half(values: NDArray[np.floating], bound: bool, node: str) -> NDArray[np.float16]:
    """float32 -> float16, rounded to nearest even; ``bound``: of a clamp, which says the same at
    the end of the range as beyond. Infinities stay.

    Raises InputError, naming ``node``, on a finite number that would become infinite.
    """
    if bound:
        values = np.clip(values, -LARGEST, LARGEST)
    with np.errstate(over="ignore"):
        out = values.astype(np.float16)
    if bool((np.isinf(out) & np.isfinite(values)).any()):
        top = float(np.abs(values[np.isfinite(values)]).max())
        raise InputError(f"a constant of {node} reaches {top:.4g}: float16 ends at {LARGEST:.0f}.")
    return out


def half_scale(scale: NDArray[np.float32]) -> NDArray[np.float16]:
    """Scales in float16, above zero; that of zeros alone, the least of float32, becomes the least
    normal number of FP16. The caller has made sure that the others survive it."""
    out: NDArray[np.float16] = np.maximum(scale.astype(np.float16), _SMALLEST)
    return np.where(scale <= np.float32(MIN_SCALE), np.float16(NORMAL), out).astype(np.float16)


def half_weight(
    levels: NDArray[np.integer], scale: NDArray[np.float32], zero: NDArray[np.integer], axis: int
) -> tuple[NDArray[np.integer], NDArray[np.float16], int]:
    """Levels and scales of a weight in float16, and how many scales were raised.

    A scale that rounding would move too far (a denormal one, or zero) goes up to the next number of
    FP16, and its levels are rounded anew: a weight moves by half a step of its grid at most.
    """
    out = half_scale(scale)
    moved = np.abs(out.astype(np.float64) - scale)
    low = moved > SCALE_ERROR * scale
    if not low.any():
        return levels, out, 0
    up = np.where(out.astype(np.float32) < scale, np.nextafter(out, np.float16(1)), out)
    out = np.where(low, up, out).astype(np.float16)
    ratio = np.where(low, scale.astype(np.float64) / out.astype(np.float64), 1.0)
    if ratio.ndim:
        shape = [1] * levels.ndim
        shape[axis] = -1
        ratio, zero = ratio.reshape(shape), zero.reshape(shape if zero.ndim else ())
    anew = np.rint((levels.astype(np.float64) - zero) * ratio) + zero
    return anew.astype(levels.dtype), out, int(low.sum())
