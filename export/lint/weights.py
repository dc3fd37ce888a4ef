"""Rules on the numbers in quantized weights: finite, not cut off, not squeezed into few levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.export.graph import attribute
from edgereid.export.lint.finding import Violation
from edgereid.export.lint.grid import output_axis
from edgereid.export.lint.targets import Target
from edgereid.export.lint.view import DEQUANTIZE, WEIGHTED, Quantizer, View, label

TOP = 127  # of a signed grid
#: Beyond the one number a channel that a scale by the maximum puts there.
MAX_SHARE_AT_TOP = 0.05
MIN_AT_TOP = 8  # fewer are chance
MIN_LEVELS = 16  # the largest level of the channel in the middle
MIN_CHANNELS = 4
VPMADDUBSW_SAFE = 64  # 2 * 255 * 64 fits into 16 bits


def finite_weights(view: View, target: Target) -> Iterator[Violation]:
    """Weights, biases and batch norms hold no NaN and no infinity."""
    read = (*WEIGHTED, "BatchNormalization", "QuantizeLinear")
    seen: set[str] = set()
    for node in view.nodes:
        for name in node.input if node.op_type in read else ():
            values = None if name in seen else view.numbers(name)
            seen.add(name)
            if values is not None and not np.isfinite(values).all():
                bad = values[~np.isfinite(values)]
                yield Violation(
                    label(node), name, f"{float(bad[0])} among {bad.size} of {values.size}"
                )


def weight_saturation(view: View, target: Target) -> Iterator[Violation]:
    """Few weights lie at the end of the grid or beyond it."""
    for w in _weights(view):
        at_top = int((np.abs(w.levels) >= TOP).sum()) - len(w.levels)
        rest = w.levels.size - len(w.levels)
        if at_top >= MIN_AT_TOP and at_top > MAX_SHARE_AT_TOP * rest:
            yield Violation(
                w.name, w.tensor, f"{at_top / rest:.0%} of the weights at {TOP} or beyond"
            )


def weight_levels(view: View, target: Target) -> Iterator[Violation]:
    """Channels use the grid that they are given."""
    for w in _weights(view):
        peaks = np.abs(w.levels).max(axis=1)
        peaks = peaks[peaks > 0]  # a dead channel needs no levels
        if len(peaks) >= MIN_CHANNELS and (middle := float(np.median(peaks))) < MIN_LEVELS:
            yield Violation(
                w.name, w.tensor, f"half of the channels use at most {middle:g} of {TOP} levels"
            )


def x86_saturation(view: View, target: Target) -> Iterator[Violation]:
    """u8 by s8 sums two products in 16 bits where there is no VNNI; one finding for the file."""
    found = []
    for layer in view.layers:
        w, a = layer.weight, layer.activation
        if a is None or w is None or w.dtype != "int8" or a.dtype != "uint8":
            continue
        levels = _levels(view, w)
        if levels is not None and levels.size and np.abs(levels).max() > VPMADDUBSW_SAFE:
            found.append((label(layer.node), w.data))
    if found:
        yield Violation(*found[0], f"{len(found)} layers with weights beyond ±{VPMADDUBSW_SAFE}")


@dataclass(frozen=True, slots=True)
class _Weight:
    """Levels (channels, others), zero point taken off, not cut to the grid."""

    name: str
    tensor: str
    levels: NDArray[np.float64]


def _weights(view: View) -> Iterator[_Weight]:
    for q in view.quantizers:
        if q.role != "weight" or q.node.op_type != DEQUANTIZE or q.dtype != "int8":
            continue
        levels, axis = _levels(view, q), output_axis(view, q)
        if levels is None or axis is None or levels.size == 0:
            continue
        channels = np.moveaxis(levels, axis, 0).reshape(levels.shape[axis], -1)
        yield _Weight(label(q.node), q.data, channels)


def _levels(view: View, q: Quantizer) -> NDArray[np.float64] | None:
    """The levels of a dequantizer's constant; None when they cannot be told."""
    before = view.by_output.get(q.data)
    pair = q if before is None else before
    value = view.value(pair.data)
    scale, zero = view.numbers(pair.scale), view.value(pair.zero) if pair.zero else None
    if value is None or (pair.zero and zero is None):
        return None
    offset = _along(zero, value, pair.node)
    if before is None:
        return None if offset is None else np.asarray(value.astype(np.float64) - offset)
    divisor = _along(scale, value, pair.node)
    if divisor is None or offset is None or not (divisor > 0).all():
        return None
    return np.asarray(np.rint(value.astype(np.float64) / divisor))


def _along(
    parameter: NDArray[Any] | None, value: NDArray[Any], node: Any
) -> NDArray[np.float64] | None:
    """A parameter as float64, shaped to be spread over ``value``; None when it does not fit."""
    if parameter is None:
        return np.zeros(())
    flat = parameter.astype(np.float64).reshape(-1)
    if flat.size == 1:
        return flat.reshape(())
    axis = attribute(node, "axis", 1)
    if not -value.ndim <= axis < value.ndim or value.shape[axis] != flat.size:
        return None
    shape = [1] * value.ndim
    shape[axis] = -1
    return flat.reshape(shape)
