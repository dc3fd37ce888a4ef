"""Tensors at which few images reach many times what the others do.

A network can magnify single images layer by layer: batch norm hides it in training, where each
batch is normalised by its own statistics, that image among them. No grid of 8 bits holds both
kinds. The sums of the images' extremes are counted anyway, so to notice costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgereid.calibration.histogram import Histogram

#: The largest magnitude over the mean of the images' largest ones, from which on it is said.
SPIKE = 8.0
#: Fewer images do not tell what is usual.
LEAST_IMAGES = 32


def spike(h: Histogram) -> float:
    """The largest magnitude seen over the mean over the images of each one's; 0 where the tensor
    is all zeros. The side of zero that reaches farther counts."""
    low, high = h.mean_extremes
    reach, mean = max((-h.low, -low), (h.high, high))
    return reach / mean if mean > 0 else 0.0


def spikes(histograms: Iterable[Histogram]) -> dict[str, float]:
    """Tensor -> ``spike``, of those at or above ``SPIKE``, in the order given."""
    enough = (h for h in histograms if h.images >= LEAST_IMAGES)
    found = {h.name: round(spike(h), 1) for h in enough}
    return {name: ratio for name, ratio in found.items() if ratio >= SPIKE}


def spikes_line(found: dict[str, float]) -> str:
    """What to tell the user."""
    worst = max(found, key=lambda name: found[name])
    return (
        f"few of the images reach {found[worst]:.0f} times the mean of all at {worst!r}, "
        f"{len(found)} of the tensors at least {SPIKE:.0f} times: the float network magnifies "
        "them, and 8 bits cannot hold both kinds; docs/training.md, fixed_norm_epochs"
    )
