"""Rules on layers: both factors quantized, groups, residual sums, what fuses in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgereid.export.graph import attribute
from edgereid.export.lint.finding import Violation
from edgereid.export.lint.targets import Target
from edgereid.export.lint.view import (
    DEQUANTIZE,
    QUANTIZE,
    RECTIFIERS,
    Layer,
    Quantizer,
    View,
    label,
)


def one_sided(view: View, target: Target) -> Iterator[Violation]:
    """Both factors of a product are quantized, or neither. Weights alone save space where the
    target's policy has them so; an activation that others read, too, is theirs."""
    for layer in view.layers:
        a, w = layer.activation, layer.weight
        if w is None or w.role != "weight" or a is not None:
            continue
        if layer.node.op_type not in target.policy.weight_only:
            yield Violation(label(layer.node), layer.node.input[0], "8-bit weights, float input")


def _groups(view: View) -> Iterator[tuple[Layer, int, int, int]]:
    """Quantized grouped convolutions: the layer, its groups, channels of a group in and out."""
    for layer in view.layers:
        groups = attribute(layer.node, "group", 1)
        w = layer.weight
        shape = view.shape(w.data) if w is not None and layer.int8 else None
        if groups <= 1 or shape is None or len(shape) < 2 or shape[0] is None or shape[1] is None:
            continue
        transposed = layer.node.op_type == "ConvTranspose"  # weights (in, out of a group, ...)
        first, second = shape[0] // groups, shape[1]
        yield layer, groups, *((first, second) if transposed else (second, first))


def group_size(view: View, target: Target) -> Iterator[Violation]:
    """Channels of a group, in and out, are a multiple of the policy's number."""
    multiple = target.policy.group_multiple
    for layer, groups, inward, outward in _groups(view):
        if not _depthwise(inward) and (inward % multiple or outward % multiple):
            got = f"{groups} groups of {inward} channels in, {outward} out"
            yield Violation(label(layer.node), layer.node.input[1], got)


def _depthwise(inward: int) -> bool:
    return inward == 1


def depthwise(view: View, target: Target) -> Iterator[Violation]:
    """Depthwise convolutions stay float."""
    for layer, groups, inward, _ in _groups(view):
        if _depthwise(inward):
            got = f"an 8-bit depthwise convolution of {groups} channels"
            yield Violation(label(layer.node), layer.node.input[1], got)


def grouped(view: View, target: Target) -> Iterator[Violation]:
    """A grouped convolution in 8 bits may lose against FP16."""
    for layer, groups, inward, _ in _groups(view):
        if not _depthwise(inward):
            got = f"an 8-bit convolution in {groups} groups"
            yield Violation(label(layer.node), layer.node.input[1], got)


def _sums(view: View) -> Iterator[tuple[Any, tuple[str, str]]]:
    """Sums of two computed tensors of one size, as far as sizes are known."""
    for node in view.nodes:
        if node.op_type not in ("Add", "Sum") or len(node.input) != 2:
            continue
        a, b = node.input
        if a in view.tensors or b in view.tensors or a == b:
            continue
        x, y = view.shape(a), view.shape(b)
        if x is None or y is None or x[1:] == y[1:]:
            yield node, (a, b)


def _convolutions(view: View) -> frozenset[str]:
    """The outputs of convolutions in 8 bits that nobody else reads: what fuses with a sum."""
    return frozenset(
        x.node.output[0]
        for x in view.layers
        if x.int8 and x.node.op_type == "Conv" and x.node.output
    )


def residual_input(view: View, target: Target) -> Iterator[Violation]:
    """The other input of a sum that takes an 8-bit convolution's output is quantized."""
    convolutions = _convolutions(view)
    for node, (a, b) in _sums(view):
        if a in convolutions and b in convolutions:
            yield Violation(label(node), b, "both inputs are outputs of convolutions, in float")
            continue
        for direct, other in ((a, b), (b, a)):
            if direct in convolutions and view.dequantizer(other) is None:
                yield Violation(label(node), other, f"float, beside the output {direct}")


def residual_branch(view: View, target: Target) -> Iterator[Violation]:
    """A convolution's own output goes into the sum as it is, not through a pair made for it."""
    convolutions = _convolutions(view)
    for node, names in _sums(view):
        sides = [_pair_for_sum(view, name, convolutions) for name in names]
        other_is_fused = [names[1 - i] in convolutions for i in (0, 1)]
        for pair, fused in zip(sides, other_is_fused, strict=True):
            if pair is not None and not fused:
                yield Violation(label(node), pair.data, f"through the pair {label(pair.node)}")
                break


def _pair_for_sum(view: View, name: str, convolutions: frozenset[str]) -> Quantizer | None:
    """The pair between an 8-bit convolution and a sum that alone reads it, or None."""
    pair = view.by_output.get(name)
    before = view.by_output.get(pair.data) if pair is not None else None
    if before is None or not before.quantizes or before.data not in convolutions:
        return None
    return before if len(view.readers.get(name, [])) == 1 else None


def _written(view: View, node: Any) -> tuple[str, list[Quantizer]]:
    """What a node writes, seen through a rectifier, and the quantizers of it."""
    out = node.output[0] if node.output else ""
    readers = view.readers.get(out, [])
    if len(readers) == 1 and readers[0][0].op_type in RECTIFIERS and readers[0][0].output:
        out = readers[0][0].output[0]
    kinds = [n for n, i in view.readers.get(out, []) if n.op_type == QUANTIZE and i == 0]
    return out, [view.by_output[n.output[0]] for n in kinds if n.output[0] in view.by_output]


def _quantized_nodes(view: View) -> Iterator[tuple[Any, Quantizer]]:
    """Layers and sums that could run in 8 bits, and the dequantizer of their first input. (A
    product of two activations may read what was quantized for others.)"""
    for layer in view.layers:
        w = layer.weight
        if w is not None and w.role == "weight" and layer.activation is not None:
            yield layer.node, layer.activation
    for node, names in _sums(view):
        pairs = [view.dequantizer(n) for n in names]
        if pairs[0] is not None and pairs[1] is not None:
            yield node, pairs[0]


def float_output(view: View, target: Target) -> Iterator[Violation]:
    """What reads 8 bits writes 8 bits, but for products that have an operator with a float result
    (QGemm, MatMulIntegerToFloat)."""
    for node, _ in _quantized_nodes(view):
        out, quantizers = _written(view, node)
        if not quantizers and out not in view.outputs and not _gives_float(view, node):
            yield Violation(label(node), out, "8-bit inputs, float output: it runs in float")


def _gives_float(view: View, node: Any) -> bool:
    """Whether a product in 8 bits keeps its float result: a float bias makes it a float Gemm."""
    if node.op_type == "Gemm":
        biases = [view.producer(name) for name in node.input[2:] if name]
        return all(b is not None and b.op_type == DEQUANTIZE for b in biases)
    readers = view.readers.get(node.output[0], [])
    return node.op_type == "MatMul" and not any(reader.op_type == "Add" for reader, _ in readers)


def one_type(view: View, target: Target) -> Iterator[Violation]:
    """Inputs and output of an 8-bit operator have one type."""
    for node, before in _quantized_nodes(view):
        _, quantizers = _written(view, node)
        types = {q.dtype for q in quantizers if q.dtype} - {before.dtype}
        if types:
            got = f"{before.dtype} in, {', '.join(sorted(types))} out"
            yield Violation(label(node), node.output[0], got, f"{before.dtype} in and out")
