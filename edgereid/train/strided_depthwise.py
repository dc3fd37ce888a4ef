"""Depthwise convolutions with a stride, in float32 on the CPU while the rest runs in bf16.

oneDNN has no fast bf16 gradient for them: 64 images of 128 channels, 40x16, take 122 ms in bf16 and
6 ms in float32 (Zen 4), so that Robust-ReID trained no faster in bf16 than in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class StridedDepthwiseInFloat(TorchFunctionMode):
    """Within this context, under bf16 autocast, such a convolution computes in float32; its result
    is bf16 as the others' are. On other devices and in other types nothing changes."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.conv2d and len(args) > 1 and _is_slow(*args, **kwargs):
            x, weight, *rest = args
            with torch.autocast("cpu", enabled=False):
                return func(x.float(), weight.float(), *rest, **kwargs).bfloat16()
        return func(*args, **kwargs)


def _is_slow(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | tuple[int, ...] = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    """Arguments of ``conv2d``; ``bias`` in other types than float32 is left to PyTorch."""
    strides = (stride,) if isinstance(stride, int) else stride
    return (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and groups > 1
        and weight.shape[1] == 1
        and x.dtype != torch.float64  # autocast leaves it alone
        and max(strides) > 1
        and (bias is None or bias.dtype == torch.float32)
    )
