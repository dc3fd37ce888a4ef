"""What FP16 cannot hold, recognised at single nodes. ``rules.py`` says why and what goes with them.

A number of FP16 is at most 65504; 2^-14 is its smallest normal number, 2^-24 its smallest at all.
Every function here takes a View and a node and says whether the node is of its kind.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.scheme import MIN_SCALE
from edgereid.export.graph import attribute
from edgereid.export.lint.view import DEQUANTIZE, QUANTIZE, WEIGHTED, View

LARGEST = 65504.0
NORMAL = 2.0**-14
#: Sums of more numbers than this may leave the range; up to here a sum is like a few additions.
FEW = 16
#: A scale may move by this share of itself: the largest level then moves by half a step.
SCALE_ERROR = 2.0**-8

MULTIPLIERS = (*WEIGHTED, "Einsum", "DeformConv")
QUANTIZERS = (QUANTIZE, DEQUANTIZE)
MEASURES = ("Shape", "Size")  # they read no numbers: either type will do
BOUNDS = ("Clip", "Max", "Min")
#: Operators that only move or choose numbers.
MOVES = (
    "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Concat", "Split",
    "Slice", "Gather", "Expand", "Tile", "Pad",
)  # fmt: skip
_SCALARS = (*BOUNDS, "Add", "Sub", "Mul", "Div", "Pow", "Where")
_AFFINE = ("Add", "Sub", "Mul", "Div")
_INTEGERS = ("int", "uint", "bool")
_CLOSERS = (
    "Div", "Sqrt", "Log", "Sigmoid", "HardSigmoid", "Tanh", "Softmax", "LogSoftmax", "Softsign",
    "Erf", "LpNormalization",
)  # fmt: skip
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
_CONVERTED = "Cast"


def constants(view: View, node: Any) -> list[NDArray[np.float64]]:
    """The constants of floating point that a node reads."""
    found = (view.numbers(name) for name in node.input if name)
    return [v for v in found if v is not None]


def grows(view: View, node: Any) -> bool:
    """A power above one, or a product of a tensor with itself."""
    if node.op_type == "Mul":
        return len(node.input) == 2 and node.input[0] == node.input[1]
    if node.op_type != "Pow" or len(node.input) < 2:
        return False
    exponent = view.numbers(node.input[1])
    return exponent is None or not exponent.size or not float(exponent.max()) <= 1.0


def long_sum(view: View, node: Any) -> bool:
    """A sum of many numbers, or of nobody knows how many."""
    if node.op_type != "ReduceSum":
        return False
    shape = view.shape(node.input[0])
    axes = view.value(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    if shape is None or (axes is None and len(node.input) > 1 and node.input[1]):
        return True
    if axes is None:
        summed = shape
    elif all(-len(shape) <= int(a) < len(shape) for a in axes.reshape(-1)):
        summed = tuple(shape[int(a)] for a in axes.reshape(-1))
    else:
        return True
    return any(s is None for s in summed) or math.prod(s or 0 for s in summed) > FEW


def distance(view: View, node: Any) -> bool:
    """|place - j| for all pixels j: the start of linear interpolation by a matrix product."""
    if node.op_type != "Abs":
        return False
    difference = view.producer(node.input[0])
    if difference is None or difference.op_type not in ("Sub", "Add"):
        return False
    return any(_counts(view, name) for name in difference.input)


def _counts(view: View, name: str) -> bool:
    """Whether a tensor is 0, 1, 2, ...: a constant, or made by Range and moved."""
    values = view.numbers(name)
    if values is not None:
        return _ramp(values)
    maker = view.producer(name)
    while maker is not None and maker.op_type in (*MOVES, _CONVERTED) and maker.input:
        maker = view.producer(maker.input[0])
    return maker is not None and bool(maker.op_type == "Range")


def _ramp(values: NDArray[np.float64]) -> bool:
    steps = np.diff(values.reshape(-1))
    return bool(steps.size and (np.abs(steps) == 1.0).all())


def sizes(view: View, node: Any) -> bool:
    """Arithmetic on the sizes of tensors; it reads no tensor's numbers."""
    return bool(node.input) and _from_sizes(view, node)


def _from_sizes(view: View, node: Any) -> bool:
    """Whether all that a node reads are constants and sizes, at any distance."""
    waiting, seen, found = [node], set(), False
    while waiting:
        current = waiting.pop()
        if current.op_type in MEASURES:
            found = True
            continue
        for name in current.input:
            if not name or name in view.tensors or name in seen:
                continue
            seen.add(name)
            maker = view.producer(name)
            if maker is None:
                return False  # an input of the network
            waiting.append(maker)
    return found


def to_integers(view: View, node: Any) -> bool:
    """A conversion of numbers to integers."""
    if node.op_type != _CONVERTED or view.dtype(node.input[0]) != "float":
        return False
    return view.dtype(node.output[0]).startswith(_INTEGERS)


def pixels(view: View, node: Any) -> bool:
    """Normalisation of the input: constants are added to it or multiplied with it."""
    waiting = [node]
    affine = False
    while waiting:
        current = waiting.pop()
        data = [n for n in current.input if n and n not in view.tensors]
        if len(data) != 1 or current.op_type not in (*_AFFINE, *MOVES, _CONVERTED):
            return False
        affine = affine or current.op_type in _AFFINE
        maker = view.producer(data[0])
        if maker is not None:
            waiting.append(maker)
    return affine and node.op_type in _AFFINE


def small(view: View, node: Any) -> bool:
    """A constant that is nearly zero in FP16, such as a guard against division by zero."""
    if node.op_type not in _SCALARS:
        return False
    tops = [float(np.abs(v).max()) for v in constants(view, node) if v.size]
    return any(0.0 < top < NORMAL for top in tops)


def large(view: View, node: Any) -> bool:
    """A constant above FP16's largest number (an infinity, and the bounds of a clamp, are none)."""
    if node.op_type in (*BOUNDS, *QUANTIZERS):
        return False
    tops = [v[np.isfinite(v) & (np.abs(v) > LARGEST)] for v in constants(view, node)]
    return any(top.size for top in tops)


def odd_scale(view: View, node: Any) -> bool:
    """A quantizer whose scale, or what it stands for, is not a number of FP16."""
    if node.op_type not in QUANTIZERS or len(node.input) < 2:
        return False
    scale = view.numbers(node.input[1])
    if scale is None or not scale.size:
        return True
    if float(scale.max()) * levels(view, node) > LARGEST:
        return True
    if node.op_type == DEQUANTIZE and node.input[0] in view.tensors:
        return False  # of weights: their levels are rounded anew
    with np.errstate(all="ignore"):
        rounded = scale.astype(np.float16).astype(np.float64)
    moved = np.abs(rounded - scale) > SCALE_ERROR * scale
    return bool((moved & (scale > MIN_SCALE)).any())  # the least there is: of a tensor of zeros


def levels(view: View, node: Any) -> float:
    """The largest level of a quantizer, counted from its zero point."""
    integers = node.output[0] if node.op_type == QUANTIZE else node.input[0]
    return 128.0 if view.dtype(integers) == "int8" else 255.0


def closes(view: View, node: Any) -> bool:
    """It brings numbers back into a small range, whatever they were."""
    if node.op_type == "Pow":
        exponent = view.numbers(node.input[1]) if len(node.input) > 1 else None
        return exponent is not None and bool(exponent.size) and float(exponent.max()) < 1.0
    return node.op_type in _CLOSERS


def bounded(view: View, node: Any) -> bool:
    """It ends the interpolation's arithmetic: weights of 0 to 1."""
    return node.op_type in (*BOUNDS, "Relu")


def axis_of(node: Any) -> int:
    """The axis of a quantizer's scales."""
    return attribute(node, "axis", 1)
