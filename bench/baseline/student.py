"""Student's t for a whole number of degrees of freedom, in closed form (no scipy at run time).

Source: M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions", 1964, 26.7.3 and 26.7.4.
"""

from __future__ import annotations

import math


def tail(t: float, degrees: int) -> float:
    """P(T > ``t``) for T with ``degrees`` >= 1 degrees of freedom."""
    if t < 0:
        return 1.0 - tail(-t, degrees)
    angle = math.atan2(t, math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return max(0.0, (1.0 - inside) / 2)


def quantile(p: float, degrees: int) -> float:
    """The t that is exceeded with probability ``p``, 0 < p <= 0.5, by bisection."""
    low, high = 0.0, 1.0
    while tail(high, degrees) > p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, degrees) > p else (low, middle)
    return high
