"""Multiply-adds (MACs) and activations of a network, module by module, counted with fvcore.

MACs (the papers' convention): one multiply-add of a convolution, a linear layer or a matrix product
counts one; batch norm, activations, pooling and element-wise operators count nothing; training
heads are left out; batch 1. fvcore's own total adds 2 per batch-norm element; it is given beside
ours, never mixed with it.

Activations (Radosavovic et al., "Designing Network Design Spaces", as fvcore counts them): elements
that convolutions, linear layers and matrix products put out; what follows them counts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import Tensor, nn

CONVENTION = (
    "1 multiply-add of a convolution, linear layer or matrix product = 1 MAC; batch norm, "
    "activations, pooling and element-wise operators not counted; training heads excluded; batch 1"
)
ACTIVATIONS = "elements put out by convolutions, linear layers and matrix products; batch 1"
_COUNTED = ("conv", "linear", "matmul", "mm", "bmm", "addmm", "einsum")

#: Operators that fvcore does not count and that hold no multiply-add of the convention (in place,
#: with "_" behind, neither).
_ELEMENTWISE = (
    "add sub rsub mul div neg abs pow sqrt rsqrt reciprocal exp log maximum minimum where"
)
_ACTIVATIONS = "sigmoid tanh softmax gelu silu leaky_relu hardsigmoid hardswish clamp_min clamp_max"
_REDUCTIONS = "amax amin mean sum norm linalg_vector_norm"
_POOLING = "avg_pool2d max_pool2d adaptive_max_pool2d"
_SHAPES = "expand_as linspace ones_like pixel_shuffle repeat unflatten"
WITHOUT_MACS = frozenset(
    f"aten::{name}"
    for family in (_ELEMENTWISE, _ACTIVATIONS, _REDUCTIONS, _POOLING, _SHAPES)
    for name in family.split()
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts by module name ("" is the whole network); ``unsupported``: operators that fvcore does
    not count, and how many."""

    macs: dict[str, int]
    activations: dict[str, int]
    fvcore_total: int
    unsupported: dict[str, int]


def count(network: nn.Module, x: Tensor) -> Counts:
    """Count the multiply-adds and activations of ``network`` on ``x`` (1, 3, H, W)."""
    flops = FlopCountAnalysis(network, x)
    flops.set_op_handle("aten::matmul", _matmul)
    activations = ActivationCountAnalysis(network, x)
    for analysis in (flops, activations):
        analysis.unsupported_ops_warnings(False)
        analysis.uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
    return Counts(
        macs={
            module: sum(int(found.get(operator, 0)) for operator in _COUNTED)
            for module, found in flops.by_module_and_operator().items()
        },
        activations={module: int(n) for module, n in activations.by_module().items()},
        fvcore_total=int(flops.total()),
        unsupported={str(op): int(n) for op, n in sorted(flops.unsupported_ops().items())},
    )


def may_multiply(unsupported: Mapping[str, int]) -> tuple[str, ...]:
    """Of the operators that fvcore does not count, those that could hold multiply-adds."""
    return tuple(sorted(op for op in unsupported if op.removesuffix("_") not in WITHOUT_MACS))


def _matmul(inputs: list[Any], outputs: list[Any]) -> int:
    """Elements put out times the inner size. fvcore's own handle takes the operands' shapes as they
    are and misses what broadcasting repeats."""
    return int(prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1])
