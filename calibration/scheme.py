"""The integer grids a tensor may be mapped to, and the law that maps it.

``q = clamp(round_half_even(x / scale) + zero_point, qmin, qmax)`` and
``x' = (q - zero_point) * scale``: ONNX QuantizeLinear and DequantizeLinear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import UsageError

#: Below it a scale is no longer a normal float32 number; a tensor of zeros gets it.
MIN_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Range:
    """The real values that a grid covers, ``low <= 0 <= high``; what lies outside saturates."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (-np.inf < self.low <= 0.0 <= self.high < np.inf):
            raise UsageError(f"a quantisation range holds zero, not {self.low} to {self.high}.")


@dataclass(frozen=True, slots=True)
class Scheme:
    """A grid of 8-bit integers."""

    name: str
    dtype: str
    qmin: int
    qmax: int
    symmetric: bool  # zero point 0; a signed grid then uses -127..127 of its levels

    def parameters(self, range: Range) -> tuple[np.float32, int]:
        """Scale (float32, above zero) and zero point that cover ``range``."""
        if self.symmetric:
            magnitude = max(-range.low, range.high) if self.qmin else range.high
            return np.float32(max(magnitude / self.qmax, MIN_SCALE)), 0
        scale = np.float32(max((range.high - range.low) / (self.qmax - self.qmin), MIN_SCALE))
        zero = int(np.clip(np.rint(self.qmin - range.low / float(scale)), self.qmin, self.qmax))
        return scale, zero

    def fake_quantize(self, x: NDArray[np.floating], range: Range) -> NDArray[np.float32]:
        """``x`` moved to its point of the grid, in float32 arithmetic as engines have it; any
        shape."""
        scale, zero = self.parameters(range)
        levels = np.rint(np.asarray(x, np.float32) / scale) + np.float32(zero)
        q = np.clip(levels, self.qmin, self.qmax)
        return np.asarray((q - np.float32(zero)) * scale, dtype=np.float32)


INT8 = Scheme("int8", "int8", -128, 127, symmetric=True)
UINT8 = Scheme("uint8", "uint8", 0, 255, symmetric=True)
UINT8_AFFINE = Scheme("uint8_affine", "uint8", 0, 255, symmetric=False)

SCHEMES: dict[str, Scheme] = {s.name: s for s in (INT8, UINT8, UINT8_AFFINE)}
