"""Bilinear crops of four regions at learned centres, written in two ways that give the same.

A crop keeps the image's width and a quarter of its height; zero outside. Places and weights are
computed by plain arithmetic (``affine_grid`` does not export well).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

REGIONS = 4
SCALE_Y = 1.0 / REGIONS


def _places(centre: Tensor, scale: float, count: int, size: int) -> Tensor:
    """Sampled places in pixels, float32: centres (B, 4) -> (B, 4, count); corners are aligned."""
    base = torch.linspace(-1.0, 1.0, count, device=centre.device, dtype=centre.dtype)
    return (scale * base + centre[..., None] + 1.0) * ((size - 1) / 2)


def crop_by_grid(x: Tensor, theta: Tensor, size: tuple[int, int]) -> Tensor:
    """Four bilinear crops of (B, C, H, W) at theta (B, 4, 2): (4 * B, C, h, w), region by region
    within an image; zero outside. Arithmetic on places, then one GridSample."""
    height, width = x.shape[2:]
    ys = _places(theta[..., 1], SCALE_Y, size[0], height) * (2 / (height - 1)) - 1
    xs = _places(theta[..., 0], 1.0, size[1], width) * (2 / (width - 1)) - 1
    shape = (-1, REGIONS, *size)
    grid = torch.stack([xs[:, :, None].expand(*shape), ys[..., None].expand(*shape)], -1)
    many = x[:, None].expand(-1, REGIONS, -1, -1, -1).flatten(0, 1)
    return functional.grid_sample(many, grid.flatten(0, 1), align_corners=True)


def crop_by_matmul(x: Tensor, theta: Tensor, size: tuple[int, int]) -> Tensor:
    """The same as two matrix products, for runtimes without GridSample: W_y X W_x^T."""
    height, width = x.shape[2:]
    wy = _weights(_places(theta[..., 1], SCALE_Y, size[0], height), height)
    wx = _weights(_places(theta[..., 0], 1.0, size[1], width), width)
    rows = torch.matmul(wy[:, :, None], x[:, None])  # (B, 4, C, h, W)
    return torch.matmul(rows, wx.transpose(-1, -2)[:, :, None]).flatten(0, 1)


def _weights(places: Tensor, size: int) -> Tensor:
    """Linear interpolation as a matrix (B, 4, count, size): max(0, 1 - |p - j|)."""
    j = torch.arange(size, device=places.device, dtype=places.dtype)
    return (1.0 - (places[..., None] - j).abs()).clamp_min(0.0)


CROPS = {"grid_sample": crop_by_grid, "matmul": crop_by_matmul}
