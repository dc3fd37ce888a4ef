"""What a layer multiplies its weights with, at a sample of places: the columns of its input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.export.repair.layers import Layer


@dataclass(frozen=True, slots=True)
class Window:
    """How a two-dimensional convolution walks: height before width everywhere."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]  # top, left, bottom, right


def window_of(layer: Layer, kernel: tuple[int, int], size: tuple[int, int]) -> Window:
    """How ``layer`` walks over an input of ``size``, on which ``auto_pad`` depends."""
    ints = {a.name: tuple(a.ints) for a in layer.node.attribute if a.ints}
    strides, dilations = ints.get("strides", (1, 1)), ints.get("dilations", (1, 1))
    auto_pad = next((a.s for a in layer.node.attribute if a.name == "auto_pad"), b"NOTSET")
    if auto_pad in (b"SAME_UPPER", b"SAME_LOWER"):
        walks = zip(size, kernel, strides, dilations, strict=True)
        both = [_same(*walk, more_first=auto_pad == b"SAME_LOWER") for walk in walks]
        pads = (both[0][0], both[1][0], both[0][1], both[1][1])
    else:
        top, left, bottom, right = ints.get("pads", (0, 0, 0, 0))
        pads = (top, left, bottom, right)
    return Window(kernel, (strides[0], strides[1]), (dilations[0], dilations[1]), pads)


def _same(size: int, kernel: int, stride: int, dilation: int, more_first: bool) -> tuple[int, int]:
    """Padding before and after, so that every stride has an output (ONNX, Conv, auto_pad)."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    less = total // 2
    return (total - less, less) if more_first else (less, total - less)


def columns(
    layer: Layer,
    weight_shape: tuple[int, ...],
    value: NDArray[np.float32],
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """At most ``count`` columns of the layer's input for one image, as (groups, inputs, columns).

    ``value`` is the input: (1, C, H, W) of a Conv, at places drawn without repetition, or (..., K)
    of a Gemm or MatMul.
    """
    if layer.node.op_type != "Conv":
        rows = value.reshape(-1, value.shape[-1])
        return np.ascontiguousarray(rows[_draw(len(rows), count, rng)].T)[None]
    _, _, image_height, image_width = value.shape
    window = window_of(layer, (weight_shape[2], weight_shape[3]), (image_height, image_width))
    top, left, bottom, right = window.pads
    (kh, kw), (sh, sw), (dh, dw) = window.kernel, window.strides, window.dilations
    image = np.pad(value[0], ((0, 0), (top, bottom), (left, right)))
    channels, height, width = image.shape
    out_h, out_w = (height - dh * (kh - 1) - 1) // sh + 1, (width - dw * (kw - 1) - 1) // sw + 1
    places = _draw(out_h * out_w, count, rng)
    y = (places // out_w * sh)[:, None] + np.repeat(np.arange(kh) * dh, kw)
    x = (places % out_w * sw)[:, None] + np.tile(np.arange(kw) * dw, kh)
    taken = image[:, y, x]  # (C, places, kh * kw)
    per_group = taken.reshape(layer.groups, channels // layer.groups, len(places), kh * kw)
    inputs = channels // layer.groups * kh * kw
    by_group = per_group.transpose(0, 1, 3, 2).reshape(layer.groups, inputs, len(places))
    return np.ascontiguousarray(by_group, dtype=np.float32)


def _draw(size: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if size <= count:
        return np.arange(size)
    return np.sort(rng.choice(size, count, replace=False))
