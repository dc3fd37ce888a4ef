"""Batch norm over the batches of all processes, on any device.

PyTorch's SyncBatchNorm needs GPUs; this one is made of differentiable sums and works with Gloo too.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


def sync_batch_norm(network: nn.Module) -> None:
    """Make every batch norm use the statistics of the global batch in training mode.

    Parameters, buffers and their names stay; processes must hold equally large batches.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            kind = type(module)
            module.__class__ = _SYNCED[kind]  # type: ignore[assignment]


class _SumOfAll(torch.autograd.Function):
    """The sum over the processes; so is its gradient, each process having a loss of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _sum_of_all(x: Tensor) -> Tensor:
    total: Tensor = _SumOfAll.apply(x)  # type: ignore[no-untyped-call]
    return total


def _synced(norm: _BatchNorm, x: Tensor) -> Tensor:
    if not norm.training:
        return functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
        )
    axes = [0, *range(2, x.dim())]
    with torch.autocast(x.device.type, enabled=False):
        y = x if x.dtype == torch.float64 else x.float()
        size = dist.get_world_size()
        count = size * (y.numel() // y.shape[1])
        # two sums, the second around the global mean: no difference of large squares
        mean: Tensor = _sum_of_all(y.sum(axes)) / count
        shape = [1, -1, *[1] * (y.dim() - 2)]
        centred = y - mean.view(shape)
        squares = centred.square().sum(axes)
        variance: Tensor = _sum_of_all(squares) / count
        out = centred * (variance + norm.eps).rsqrt().view(shape)
        if norm.affine:
            out = out * norm.weight.view(shape) + norm.bias.view(shape)
    _follow(norm, mean.detach(), variance.detach() * (count / max(1, count - 1)))
    result: Tensor = out.to(x.dtype)
    return result


def _follow(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics by ``momentum``; None: a plain average."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    factor = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, factor)
    norm.running_var.lerp_(variance, factor)


class _Synced1d(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:
        return _synced(self, input)


class _Synced2d(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return _synced(self, input)


_SYNCED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _Synced1d,
    nn.BatchNorm2d: _Synced2d,
}
