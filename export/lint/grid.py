"""Rules on the integer grid: zero points, types, scales and their axis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.export.graph import attribute
from edgereid.export.lint.finding import Violation
from edgereid.export.lint.targets import Target
from edgereid.export.lint.view import WEIGHTED, Quantizer, View, label

_SMALLEST_NORMAL = {"float": 2.0**-126, "bfloat16": 2.0**-126, "float16": 2.0**-14}


def activation_zero_point(view: View, target: Target) -> Iterator[Violation]:
    """Activations are symmetric (OpenVINO: signed ones only)."""
    for q in _of(view, "activation"):
        if target.name == "tensorrt" or q.dtype == "int8":
            yield from _nonzero(view, q)


def weight_zero_point(view: View, target: Target) -> Iterator[Violation]:
    """Weights are symmetric."""
    for q in _of(view, "weight"):
        yield from _nonzero(view, q)


def _of(view: View, role: str) -> Iterator[Quantizer]:
    return (q for q in view.distinct if q.role == role)


def _nonzero(view: View, q: Quantizer) -> Iterator[Violation]:
    zero = view.value(q.zero) if q.zero else None
    if zero is not None and zero.size and np.any(zero.astype(np.float64) != 0):
        shown = zero.reshape(-1)
        first = next(x for x in shown if float(x) != 0)
        of = "" if zero.size == 1 else f" among {zero.size}"
        yield Violation(label(q.node), q.data, f"zero point {first}{of}")


def activation_type(view: View, target: Target) -> Iterator[Violation]:
    """Activations have a type that the target multiplies fast, or at all."""
    yield from _types(view, "activation", target.activation_types, target)


def weight_type(view: View, target: Target) -> Iterator[Violation]:
    """Weights have a type that the target multiplies fast, or at all."""
    yield from _types(view, "weight", target.weight_types, target)


def _types(view: View, role: str, allowed: tuple[str, ...], target: Target) -> Iterator[Violation]:
    for q in _of(view, role):
        if q.dtype and q.dtype not in (*allowed, *target.release.other_types):
            given = "" if q.zero else " (as the standard has it without a zero point)"
            yield Violation(label(q.node), q.data, f"{q.dtype}{given}", " or ".join(allowed))


def per_channel_activation(view: View, target: Target) -> Iterator[Violation]:
    """Activations have one scale."""
    for q in _of(view, "activation"):
        count = view.count(q.scale)
        if count is not None and count > 1:
            yield Violation(label(q.node), q.data, f"{count} scales")


def constant_parameters(view: View, target: Target) -> Iterator[Violation]:
    """Scales and zero points are constants of the file."""
    for q in view.distinct:
        for name in filter(None, (q.scale, q.zero)):
            if name not in view.tensors:
                yield Violation(label(q.node), name, "a computed value")


def scale_value(view: View, target: Target) -> Iterator[Violation]:
    """Scales are finite and above zero."""
    for q in view.distinct:
        scale = view.numbers(q.scale)
        if scale is not None:
            bad = scale[~(np.isfinite(scale) & (scale > 0))]
            if bad.size:
                yield Violation(label(q.node), q.scale, _some(bad, scale.size))


def scale_denormal(view: View, target: Target) -> Iterator[Violation]:
    """Scales are normal numbers of their type."""
    for q in view.distinct:
        scale, dtype = view.numbers(q.scale), view.dtype(q.scale)
        if scale is not None and dtype in _SMALLEST_NORMAL:
            small = scale[(scale > 0) & (scale < _SMALLEST_NORMAL[dtype])]
            if small.size:
                least = f"at least {_SMALLEST_NORMAL[dtype]:.3g} in {dtype}"
                yield Violation(label(q.node), q.scale, _some(small, scale.size), least)


def _some(values: NDArray[np.float64], total: int) -> str:
    first = float(values.reshape(-1)[0])
    return f"{first:.3g}" if total == 1 else f"{first:.3g}, {values.size} of {total} scales"


def scale_shape(view: View, target: Target) -> Iterator[Violation]:
    """A scale is one number, or one for each index of an axis that exists."""
    for q in view.distinct:
        if q.scale not in view.tensors or attribute(q.node, "block_size", 0):
            continue
        dims, got = tuple(view.tensors[q.scale].dims), ""
        zero = tuple(view.tensors[q.zero].dims) if q.zero in view.tensors else dims
        if math.prod(dims) != math.prod(zero):
            got = f"{math.prod(dims)} scales, {math.prod(zero)} zero points"
        elif math.prod(dims) != 1:
            got = _misfit(dims, view.shape(q.data), attribute(q.node, "axis", 1))
        if got:
            yield Violation(label(q.node), q.scale, got)


def _misfit(dims: tuple[int, ...], shape: tuple[int | None, ...] | None, axis: int) -> str:
    """What is wrong with scales of shape ``dims`` for data of ``shape``, or an empty string."""
    if len(dims) != 1:
        return f"scales of shape {list(dims)}"
    if shape is None:
        return ""
    if not -len(shape) <= axis < len(shape):
        return f"axis {axis} of a tensor of {len(shape)} dimensions"
    size = shape[axis]
    return f"{dims[0]} scales for axis {axis} of size {size}" if size not in (None, dims[0]) else ""


def weight_axis(view: View, target: Target) -> Iterator[Violation]:
    """Scales per channel run over a layer's output channels."""
    for q in _of(view, "weight"):
        count, shape = view.count(q.scale), view.shape(q.data)
        wanted = output_axis(view, q)
        if count is None or count < 2 or shape is None or wanted is None or len(shape) < 2:
            continue
        axis = attribute(q.node, "axis", 1)
        if axis % len(shape) != wanted:
            yield Violation(label(q.node), q.data, f"axis {axis}", f"axis {wanted}")


def output_axis(view: View, q: Quantizer) -> int | None:
    """The axis of a layer's output channels in the weights that ``q`` works on; None: unknown."""
    name, order = q.out, list(range(len(view.shape(q.data) or ())))
    for _ in range(8):  # through the pair's other half and transpositions, then the layer
        readers = view.readers.get(name, [])
        if not readers:
            return None
        node, i = readers[0]
        if node.op_type in WEIGHTED and i < 2:
            axis = _axis_of(node, i, len(order))
            return order[axis] if 0 <= axis < len(order) else None
        if i or not node.output or node.op_type not in ("DequantizeLinear", "Transpose"):
            return None
        if node.op_type == "Transpose":
            perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            moved = perm if perm else list(range(len(order)))[::-1]
            if sorted(moved) != list(range(len(order))):
                return None
            order = [order[p] for p in moved]
        name = node.output[0]
    return None


def _axis_of(node: Any, i: int, rank: int) -> int:
    """The output channels' axis of input ``i`` of a convolution or a product."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    transposed = node.op_type == "Gemm" and attribute(node, "transA" if i == 0 else "transB", 0)
    last = bool(transposed) == (i == 0)  # A: rows are outputs; B: columns are
    return rank - 1 if last else rank - 2


def pair_parameters(view: View, target: Target) -> Iterator[Violation]:
    """DequantizeLinear reverses its QuantizeLinear: same scale, zero point and axis."""
    for q in view.quantizers:
        before = view.by_output.get(q.data)
        if q.quantizes or before is None or not before.quantizes:
            continue
        for what, mine, theirs in (
            ("scale", q.scale, before.scale),
            ("zero point", q.zero, before.zero),
        ):
            if not _equal(view, mine, theirs):
                yield Violation(label(q.node), q.data, f"another {what} than {label(before.node)}")
        several = (view.count(q.scale) or 1) > 1
        if several and attribute(q.node, "axis", 1) != attribute(before.node, "axis", 1):
            yield Violation(label(q.node), q.data, f"another axis than {label(before.node)}")


def _equal(view: View, a: str, b: str) -> bool:
    if a == b:
        return True
    x, y = (view.value(n) if n else np.zeros(()) for n in (a, b))
    if x is None or y is None:
        return True  # not to be known from the file
    return x.size == y.size and bool(np.all(x.reshape(-1) == y.reshape(-1)))
