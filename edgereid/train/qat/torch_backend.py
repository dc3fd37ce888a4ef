"""Rounding by PyTorch's own fake quantisation; needs nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgereid.calibration.scheme import INT8, MIN_SCALE
from edgereid.train.qat.backend import Backend


class _Activation(nn.Module):
    def __init__(self, qmin: int, qmax: int) -> None:
        super().__init__()
        self.qmin, self.qmax = qmin, qmax

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, 1.0, 0, self.qmin, self.qmax)


class _Weight(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, w: Tensor) -> Tensor:
        others = [i for i in range(w.ndim) if i != self.axis]
        scale = (w.detach().abs().amax(dim=others) / INT8.qmax).clamp(min=MIN_SCALE)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(
            w, scale, zero, self.axis, -INT8.qmax, INT8.qmax
        )


class _Torch:
    def activation(self, qmin: int, qmax: int) -> nn.Module:
        return _Activation(qmin, qmax)

    def weight(self, axis: int) -> nn.Module:
        return _Weight(axis)


def make() -> Backend:
    """The backend."""
    return _Torch()
