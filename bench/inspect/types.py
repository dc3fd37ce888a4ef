"""Types of numbers, in TensorRT's many words for them and in ours, and what a layer computes in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: TensorRT's word, in lower case -> ours.
_WORDS = {
    "float": "f32", "fp32": "f32", "half": "f16", "fp16": "f16", "bfloat16": "bf16",
    "bf16": "bf16", "int8": "int8", "fp8": "fp8", "fp8e4m3": "fp8", "float8": "fp8",
    "int4": "int4", "fp4": "fp4", "fp4e2m1": "fp4", "int32": "int32", "int64": "int64",
    "uint8": "uint8", "uint32": "uint32", "uint64": "uint64", "bool": "bool",
}  # fmt: skip
#: What arithmetic runs in; the others carry indices, shapes and pixels.
ARITHMETIC = ("f32", "f16", "bf16", "int8", "fp8", "int4", "fp4")
FLOATS = ("f32", "tf32", "f16", "bf16")
#: Parts of a layer's kind that say that it multiplies and adds: 8.x to 10.x, then 11.x.
_MULTIPLIES = ("conv", "gemm", "matmul", "matrixmultiply", "fullyconnected", "correlation")

_TYPE = "(?:tf32|bf16|f32|f16|i32|i8|u8|e4m3)"
#: Kernels are called by their operands: types of A and C, then of the product and of the sum.
_KERNEL = re.compile(rf"_{_TYPE}{{1,2}}_({_TYPE}){_TYPE}_")
_KERNEL_WORDS = {"i8": "int8", "e4m3": "fp8"}
#: Kernels of structured sparsity are called otherwise.
_SPARSE = re.compile("_int8int8_")


def datatype(text: str) -> str | None:
    """The type in a description such as "Row major Int8 format" or "Half"; None where none or more
    than one is named."""
    words = re.findall(r"[A-Za-z][A-Za-z0-9]*", text.lower())
    found = {_WORDS[word] for word in words if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def kernel_type(tactic: str) -> str | None:
    """What the product is computed in, by the kernel's name; None where the name does not say."""
    found = _KERNEL.search(tactic)
    if found:
        return _KERNEL_WORDS.get(found.group(1), found.group(1))
    if _SPARSE.search(tactic):
        return "int8"
    return "tf32" if "tf32" in tactic else None


def multiplies(kind: str) -> bool:
    """Whether a layer of this kind is a convolution or a matrix product."""
    kind = kind.lower()
    return any(word in kind for word in _MULTIPLIES)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a layer computes in. ``precision``: a type, several joined by "+", or None where it is
    not told or contradictory; ``doubt`` says how. ``by_weights``: the doubt is that the data are
    float and the weights INT8, which is so in a kernel that quantises its data itself.
    ``inferred``: the types of the data are not told, kernel and weights are what speaks."""

    precision: str | None
    doubt: str = ""
    by_weights: bool = False
    inferred: bool = False


def ran_in(
    kind: str,
    inputs: Sequence[str | None],
    outputs: Sequence[str | None],
    weights: str | None,
    tactic: str,
) -> Ran:
    """The precision of a layer, from the types of what it reads.

    A convolution or product runs in the type of its first input, the data; its weights and its
    kernel's name must not contradict that. FP32 whose kernel says TF32 is "tf32". Any other layer
    runs in what it reads, or, reading nothing, in what it writes.
    """
    reads = [t for t in inputs if t in ARITHMETIC]
    if not multiplies(kind):
        types = sorted({t for t in reads if t} or {t for t in outputs if t in ARITHMETIC and t})
        return Ran("+".join(types) or None)
    if inputs and not any((*inputs, *outputs)):
        return _without_data(kind, weights, kernel_type(tactic))
    if not reads or (inputs and inputs[0] not in ARITHMETIC):
        return Ran(None)
    operand, kernel = reads[0], kernel_type(tactic)
    if operand == "int8" and weights in FLOATS:
        return Ran(None, f"reads INT8, but holds {weights} weights")
    if operand == "f32" and weights in ("f16", "bf16"):
        return Ran(None, f"reads f32, but holds {weights} weights")
    if operand in FLOATS and weights == "int8":
        return Ran(None, f"reads {operand}, but holds INT8 weights", by_weights=True)
    if operand == "f32" and kernel == "tf32":
        return Ran("tf32")
    if kernel is not None and kernel != operand:
        return Ran(None, f"reads {operand}, but its kernel is named for {kernel}")
    return Ran(operand)


def _without_data(kind: str, weights: str | None, kernel: str | None) -> Ran:
    """Of a layer none of whose tensors has a type, as TensorRT tells it where shapes are dynamic.

    Weights alone speak for the data, too, but not INT8 ones of a product of matrices: there are
    kernels that only store them so."""
    if weights not in ARITHMETIC:
        return Ran(kernel, inferred=kernel is not None)
    if kernel is not None and kernel != weights and (kernel, weights) != ("tf32", "f32"):
        return Ran(None, f"holds {weights} weights, but its kernel is named for {kernel}")
    certain = weights in FLOATS or (weights == "int8" and "gemm" not in kind.lower())
    found = kernel or (weights if certain else None)
    return Ran(found, inferred=found is not None)
