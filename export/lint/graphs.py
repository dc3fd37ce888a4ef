"""Rules on the file as a whole: operator sets, operators, types, dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgereid.export.graph import attribute
from edgereid.export.lint.finding import Violation
from edgereid.export.lint.operators import ONNX_DOMAINS
from edgereid.export.lint.targets import Target
from edgereid.export.lint.view import QUANTIZE, View, label

PER_CHANNEL_OPSET = 13  # QuantizeLinear has an axis
FLOAT16_OPSET = 19  # QuantizeLinear takes float16
_POOLS = ("MaxPool", "AveragePool", "LpPool")
_INT32_MAX = 2**31 - 1
#: "To the end" in Slice; cut to 32 bits it means the same.
_SENTINELS = (2**63 - 1, -(2**63), 2**31, -(2**31))


def opset(view: View, target: Target) -> Iterator[Violation]:
    """The operator set is one that the target's parser reads."""
    low, high = target.release.opsets
    got = view.graph.opset
    if (low is not None and got < low) or (high is not None and got > high):
        allowed = f"{low} to {high}" if high is not None else f"{low} or later"
        yield Violation("", "", f"operator set {got}", allowed)


def qdq_opset(view: View, target: Target) -> Iterator[Violation]:
    """The operator set is one in which the quantizers mean what they say."""
    got = view.graph.opset
    for q in view.distinct:
        if got < PER_CHANNEL_OPSET and (view.count(q.scale) or 1) > 1:
            need = f"operator set {PER_CHANNEL_OPSET} or later"
            yield Violation(label(q.node), q.scale, f"scales per channel in set {got}", need)
        elif got < FLOAT16_OPSET and view.dtype(q.scale) == "float16":
            need = f"operator set {FLOAT16_OPSET} or later"
            yield Violation(label(q.node), q.scale, f"a float16 scale in set {got}", need)


def operator(view: View, target: Target) -> Iterator[Violation]:
    """Every operator is on the target's list, or a function of the model itself."""
    takes, functions = target.release.operators, _functions(view)
    for node in view.every_node():
        if (node.domain, node.op_type) in functions or takes.takes(node.domain, node.op_type):
            continue
        full = node.op_type if node.domain in ONNX_DOMAINS else f"{node.domain}::{node.op_type}"
        yield Violation(label(node), next(iter(node.output), ""), full)


def _functions(view: View) -> set[tuple[str, str]]:
    return {(f.domain, f.name) for f in view.model.functions}


def operator_limits(view: View, target: Target) -> Iterator[Violation]:
    """Operators are used as TensorRT's list allows it."""
    for node in view.nodes:
        for got, allowed in _beyond(view, node):
            yield Violation(label(node), next(iter(node.output), ""), got, allowed)


def _beyond(view: View, node: Any) -> Iterator[tuple[str, str]]:
    rank = len(shape) if node.input and (shape := view.shape(node.input[0])) else None
    if node.op_type == "MaxPool" and len(node.output) > 1 and node.output[1]:
        yield "the indices of the maxima", "one output"
    if node.op_type in _POOLS:
        dilations = next((list(a.ints) for a in node.attribute if a.name == "dilations"), [])
        if any(d != 1 for d in dilations):
            yield f"dilations {dilations}", "none"
        if rank is not None and rank not in (4, 5):
            yield f"{rank} dimensions", "4 or 5"
    if node.op_type == "GridSample" and rank not in (None, 4):
        yield f"{rank} dimensions", "4"
    if node.op_type in ("QuantizeLinear", "DequantizeLinear") and attribute(node, "block_size", 0):
        yield "scales by block", "one scale, or one per channel"


def double_type(view: View, target: Target) -> Iterator[Violation]:
    """Nothing is computed in 64-bit floating point."""
    for node in view.nodes:
        names = [n for n in (*node.input, *node.output) if n and view.dtype(n) == "double"]
        if names:
            yield Violation(label(node), names[0], "double")


def int64_values(view: View, target: Target) -> Iterator[Violation]:
    """64-bit integers that a release without INT64 would cut: inputs, outputs, large constants."""
    if target.release.int64:
        return
    for value in (*view.model.graph.input, *view.model.graph.output):
        if view.dtype(value.name) == "int64" and value.name not in view.tensors:
            yield Violation("", value.name, "an int64 input or output")
    for node in view.nodes:
        for name in node.input:
            value = view.value(name) if view.dtype(name) == "int64" else None
            if value is None or name not in view.tensors:
                continue
            large = value[(np.abs(value.astype(np.float64)) > _INT32_MAX)]
            odd = [int(x) for x in large.reshape(-1) if int(x) not in _SENTINELS]
            if odd:
                yield Violation(label(node), name, f"the constant {odd[0]}")


def dynamic_dims(view: View, target: Target) -> Iterator[Violation]:
    """Only the batch of an input is dynamic."""
    for value in view.model.graph.input:
        shape = None if value.name in view.tensors else view.shape(value.name)
        if shape is not None and any(d is None for d in shape[1:]):
            shown = ", ".join("?" if d is None else str(d) for d in shape)
            yield Violation("", value.name, f"({shown})")


def strong_typing(view: View, target: Target) -> Iterator[Violation]:
    """Where types are obeyed, what surrounds the quantizers is typed FP16."""
    if target.release.weak_typing:
        return
    for node in view.nodes:
        if node.op_type == QUANTIZE and node.input and view.dtype(node.input[0]) == "float":
            yield Violation(label(node), node.input[0], "a float32 tensor is quantized")
            return  # said once for the file


def external_weights(view: View, target: Target) -> Iterator[Violation]:
    """Weights in other files are not read; one finding for the file."""
    outside = [n for n, t in view.tensors.items() if t.data_location == 1]
    if outside:
        yield Violation("", outside[0], f"{len(outside)} constants lie in other files")
