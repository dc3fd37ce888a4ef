"""A quantised activation in training: the Q/DQ pair of the engine, with a step that learns.

The step's gradient is that of Esser et al., "Learned Step Size Quantization": it follows from
``y = (round(x / s + z) - z) * s`` when rounding passes gradients straight through.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgereid.calibration.scheme import Range, Scheme


class Grid(nn.Module):
    """Moves values of any shape to the points of ``scheme``'s grid that covers ``range``.

    ``rounding`` is a backend's. ``growth`` is the logarithm of the step over its first value, so a
    learning rate means the same for every tensor.
    """

    def __init__(self, scheme: Scheme, range: Range, rounding: nn.Module, learned: bool) -> None:
        super().__init__()
        scale, self.zero = scheme.parameters(range)
        self.scheme, self.first, self.rounding = scheme, float(scale), rounding
        self.growth = nn.Parameter(torch.zeros(()), requires_grad=learned)

    @property
    def step(self) -> Tensor:
        """Distance of two points, float32."""
        return self.growth.exp() * self.first

    def forward(self, x: Tensor) -> Tensor:
        step = self.step
        levels = x / step + self.zero if self.zero else x / step
        if self.scheme.qmin == 0:
            levels = levels.clamp(min=0.0)  # backends refuse negative numbers on such a grid
        integers = self.rounding(levels)
        points: Tensor = (integers - self.zero if self.zero else integers) * step
        return points

    def range(self) -> Range:
        """What the grid covers now: ``scheme.parameters`` gives back its step and zero point."""
        step = float(self.step.detach())
        least = -self.scheme.qmax if self.scheme.qmin < 0 else self.scheme.qmin - self.zero
        return Range(least * step, (self.scheme.qmax - self.zero) * step)
