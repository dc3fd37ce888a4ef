"""Rules on half precision: what overflows, and what becomes zero, when it runs in FP16.

A number of FP16 is at most 65504; 2^-14 is its smallest normal number, 2^-24 its smallest at all.
Re-ID networks have the two classical victims: the power of GeM, and the sum of squares of the L2
norm. In a file typed float32 the builder decides, and is told by notes what to keep in FP32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgereid.export.lint.finding import Violation
from edgereid.export.lint.targets import Target
from edgereid.export.lint.view import View, label

LARGEST = 65504.0
_ZERO_BELOW = 2.0**-25  # rounds to zero
_NORMAL = 2.0**-14
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
#: Operator -> why it leaves the range of FP16.
_GROWS = {
    "ReduceL2": "its sum of squares overflows above a norm of 256",
    "ReduceSumSquare": "its sum overflows above a norm of 256",
    "LpNormalization": "its sum of squares overflows above a norm of 256",
    "Exp": "it overflows above 11.09",
    "ReduceLogSumExp": "its sum of exponentials overflows above 11.09",
}
#: Operator -> what FP16 costs it, though it stays in range.
_COARSE = {
    "Softmax": "its sum of exponentials loses digits",
    "GridSample": "a grid in FP16 has steps of 1/4096 of the image",
}
_BOUNDS = ("Clip", "Max", "Min")


def typed(view: View, target: Target) -> Iterator[Violation]:
    """Nothing that overflows is typed float16."""
    for node, why in _growing(view):
        if any(view.dtype(name) == "float16" for name in node.input):
            yield Violation(label(node), node.output[0], f"{node.op_type} in float16: {why}")


def coarse(view: View, target: Target) -> Iterator[Violation]:
    """Attention and crops are not typed float16."""
    for node, why in _lossy(view):
        if any(view.dtype(name) == "float16" for name in node.input):
            yield Violation(label(node), node.output[0], f"{node.op_type} in float16: {why}")


def keep(view: View, target: Target) -> Iterator[Violation]:
    """What the builder has to keep in FP32."""
    for node, why in (*_growing(view), *_lossy(view)):
        if view.dtype(node.input[0]) in ("float", ""):
            yield Violation(label(node), node.output[0], f"{node.op_type}: {why}")


def _growing(view: View) -> Iterator[tuple[Any, str]]:
    """Nodes whose result can leave the range of FP16 though their input is inside, and why."""
    for node in view.nodes:
        if not node.input or not node.output:
            continue
        if node.op_type == "Pow":
            why = _power(view, node)
            if why:
                yield node, why
        elif node.op_type == "Mul" and len(node.input) == 2 and node.input[0] == node.input[1]:
            yield node, "a square overflows above 256"
        elif node.op_type in _GROWS:
            yield node, _GROWS[node.op_type]


def _lossy(view: View) -> Iterator[tuple[Any, str]]:
    """Nodes that FP16 makes inaccurate, and why."""
    for node in view.nodes:
        if node.op_type in _COARSE and node.input and node.output:
            yield node, _COARSE[node.op_type]


def _power(view: View, node: Any) -> str:
    exponents = view.numbers(node.input[1]) if len(node.input) > 1 else None
    if exponents is None or not exponents.size:
        return "its exponent is no constant, so its result has no bound"
    p = float(exponents.max())
    if not p > 1.0:
        return ""
    return f"x^{p:.3g} overflows above {LARGEST ** (1 / p):.3g}" if np.isfinite(p) else "infinite"


def large_constant(view: View, target: Target) -> Iterator[Violation]:
    """Constants are inside the range of FP16 (infinity and the bounds of a clamp mean no bound)."""
    for node, name, values in _constants(view):
        if node.op_type in _BOUNDS:
            values = values[np.abs(values) < _MAX_FLOAT32]
        big = values[np.isfinite(values) & (np.abs(values) > LARGEST)]
        if big.size:
            most = float(big[np.abs(big).argmax()])
            yield Violation(label(node), name, f"{most:.4g} in FP16 is infinity")


def small_constant(view: View, target: Target) -> Iterator[Violation]:
    """Guards against division by zero survive FP16."""
    for node, name, values in _constants(view):
        if values.size != 1 or node.op_type not in (*_BOUNDS, "Add"):
            continue
        size = abs(float(values.reshape(-1)[0]))
        if 0 < size < _ZERO_BELOW:
            yield Violation(label(node), name, f"{size:.3g} becomes zero in FP16")
        elif 0 < size < _NORMAL:
            yield Violation(label(node), name, f"{size:.3g} is denormal in FP16: it loses digits")


def _constants(view: View) -> Iterator[tuple[Any, str, Any]]:
    """Constants of float32 that nodes compute with."""
    for node in view.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        for name in node.input:
            values = view.numbers(name) if view.dtype(name) == "float" else None
            if values is not None:
                yield node, name, values


def lost_guard(view: View, target: Target) -> Iterator[Violation]:
    """A divisor typed float16 is kept away from zero."""
    for node in view.nodes:
        if node.op_type != "Div" or len(node.input) != 2:
            continue
        guard = view.producer(node.input[1])
        if guard is None or guard.op_type not in ("Clip", "Max") or len(guard.input) < 2:
            continue
        low = view.value(guard.input[1]) if view.dtype(guard.input[1]) == "float16" else None
        if low is not None and low.size == 1 and not float(low.reshape(-1)[0]) > 0:
            yield Violation(label(node), node.input[1], "the divisor's lower bound is 0 in float16")
