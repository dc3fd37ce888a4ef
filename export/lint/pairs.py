"""Rules on where quantizers stand: whole pairs, once, and where they help."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgereid.export.lint.finding import Violation
from edgereid.export.lint.targets import Target
from edgereid.export.lint.view import DEQUANTIZE, QUANTIZE, VIEWS, WEIGHTED, View, label

#: What computes in float whatever its input is, and what 8 bits harm: GeM, norms, softmax, crops.
FLOAT_ONLY = (
    "Pow", "ReduceL2", "ReduceSumSquare", "LpNormalization", "Softmax", "LogSoftmax", "GridSample",
    "InstanceNormalization", "LayerNormalization", "Exp", "Sqrt",
)  # fmt: skip
_BIAS_TYPES = ("int32",)
_MOVES_INTEGERS = (*VIEWS, "MaxPool", "Concat", "Split", "Slice", "Gather")


def bias(view: View, target: Target) -> Iterator[Violation]:
    """Biases are float (ONNX Runtime and OpenVINO also take int32)."""
    allowed = () if target.name == "tensorrt" else _BIAS_TYPES
    for q in view.quantizers:
        if q.role == "bias" and q.node.op_type == DEQUANTIZE and q.dtype not in allowed:
            yield Violation(label(q.node), q.data, f"a bias in {q.dtype or 'integers'}")


def unpaired(view: View, target: Target) -> Iterator[Violation]:
    """What is quantized is dequantized, by every reader, and nothing else is."""
    for q in view.quantizers:
        readers = view.readers.get(q.out, [])
        if not readers and q.out not in view.outputs:
            yield Violation(label(q.node), q.out, "nobody reads its output")
            continue
        if q.quantizes:
            if q.out in view.outputs:
                yield Violation(label(q.node), q.out, "integers as an output of the network")
            for node, _ in readers:
                if node.op_type not in (DEQUANTIZE, *_MOVES_INTEGERS):
                    yield Violation(label(q.node), q.out, f"{node.op_type} {label(node)} reads it")
            continue
        before = view.producer(q.data)
        if q.data in view.tensors or (
            before is not None and before.op_type in (QUANTIZE, *_MOVES_INTEGERS)
        ):
            continue
        source = "an input of the network" if before is None else f"{before.op_type}'s output"
        yield Violation(label(q.node), q.data, f"it dequantizes {source}")


def double(view: View, target: Target) -> Iterator[Violation]:
    """A tensor is rounded once."""
    for q in view.quantizers:
        before = view.by_output.get(q.data)
        if q.quantizes and before is not None and not before.quantizes:
            yield Violation(
                label(q.node), q.data, f"it quantizes what {label(before.node)} dequantized"
            )


def useless(view: View, target: Target) -> Iterator[Violation]:
    """Somebody computes in 8 bits behind a quantized activation."""
    in_float = {label(x.node) for x in view.layers if x.weight is None}
    for q in view.quantizers:
        if q.quantizes or q.role != "activation":
            continue
        readers = view.readers.get(q.out, [])
        kinds = {n.op_type for n, _ in readers}
        if readers and all(
            n.op_type in FLOAT_ONLY or (n.op_type in WEIGHTED and label(n) in in_float)
            for n, _ in readers
        ):
            yield Violation(label(q.node), q.data, f"only {', '.join(sorted(kinds))} in float read")


def output(view: View, target: Target) -> Iterator[Violation]:
    """The embedding itself is not rounded."""
    for q in view.quantizers:
        if not q.quantizes and q.out in view.outputs:
            yield Violation(label(q.node), q.out, "the network's output is rounded to 8 bits")


def concat_scales(view: View, target: Target) -> Iterator[Violation]:
    """What is concatenated in 8 bits has one scale."""
    for node in view.nodes:
        if node.op_type != "Concat":
            continue
        found = [view.dequantizer(name) for name in node.input]
        scales = [view.numbers(q.scale) for q in found if q is not None]
        known = [s for s in scales if s is not None and s.size == 1]
        if len(known) == len(node.input) and len({float(np.asarray(s).flat[0]) for s in known}) > 1:
            values = ", ".join(f"{float(s.flat[0]):.3g}" for s in known[:4])
            yield Violation(label(node), node.output[0] if node.output else "", f"scales {values}")
