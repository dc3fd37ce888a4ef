"""ONNX operators in PyTorch: those that exported re-identification networks consist of.

A table; an operator that is not in it, or a use of one that is not covered, is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from edgereid.errors import InputError

Attributes = Mapping[str, Any]
Inputs = Sequence[Tensor]
Operator = Callable[[Inputs, Attributes], Tensor | Sequence[Tensor]]


def attributes_of(node: Any) -> dict[str, Any]:
    """A node's attributes as plain Python values. Raises InputError for a padding that depends on
    the input's size."""
    from onnx.helper import get_attribute_value

    found = {a.name: get_attribute_value(a) for a in node.attribute}
    if found.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise InputError(f"{node.name}: padding {found['auto_pad']!r} cannot be trained.")
    return found


def operator(node: Any) -> Operator:
    """What computes a node. Raises InputError for an operator that is not known."""
    if node.op_type not in _OPERATORS:
        raise InputError(
            f"{node.name} is a {node.op_type}: a network with one cannot be trained with "
            "quantisation."
        )
    return _OPERATORS[node.op_type]


def _padded(x: Tensor, a: Attributes, value: float) -> tuple[Tensor, tuple[int, ...]]:
    """The padding that PyTorch's operators take themselves, and ``x`` with what they do not."""
    pads = list(a.get("pads", (0, 0, 0, 0)))
    begin, end = pads[:2], pads[2:]
    if begin == end:
        return x, tuple(begin)
    return functional.pad(x, (begin[1], end[1], begin[0], end[0]), value=value), (0, 0)


def _conv(i: Inputs, a: Attributes) -> Tensor:
    x, padding = _padded(i[0], a, 0.0)
    bias = i[2] if len(i) > 2 else None
    stride, dilation = tuple(a.get("strides", (1, 1))), tuple(a.get("dilations", (1, 1)))
    return functional.conv2d(x, i[1], bias, stride, padding, dilation, a.get("group", 1))


def _gemm(i: Inputs, a: Attributes) -> Tensor:
    left = i[0].T if a.get("transA", 0) else i[0]
    right = i[1].T if a.get("transB", 0) else i[1]
    product = (left @ right) * float(a.get("alpha", 1.0))
    return product + i[2] * float(a.get("beta", 1.0)) if len(i) > 2 else product


def _max_pool(i: Inputs, a: Attributes) -> Tensor:
    x, padding = _padded(i[0], a, -torch.inf)
    kernel, stride = tuple(a["kernel_shape"]), tuple(a.get("strides", (1, 1)))
    dilation, ceil = tuple(a.get("dilations", (1, 1))), bool(a.get("ceil_mode", 0))
    return functional.max_pool2d(x, kernel, stride, padding, dilation, ceil)


def _average_pool(i: Inputs, a: Attributes) -> Tensor:
    counts = bool(a.get("count_include_pad", 0))
    pads = list(a.get("pads", (0, 0, 0, 0)))
    if pads[:2] != pads[2:]:
        raise InputError("an average pooling with uneven padding cannot be trained.")
    kernel, stride = tuple(a["kernel_shape"]), tuple(a.get("strides", (1, 1)))
    ceil = bool(a.get("ceil_mode", 0))
    return functional.avg_pool2d(i[0], kernel, stride, tuple(pads[:2]), ceil, counts)


def _axes(i: Inputs, a: Attributes) -> list[int]:
    """Axes of a reduction, an attribute or the second input; none given: all."""
    if "axes" in a:
        return list(a["axes"])
    return _ints(i[1]) if len(i) > 1 else list(range(i[0].ndim))


def _ints(x: Tensor) -> list[int]:
    return [int(v) for v in x.reshape(-1).tolist()]


def _reduce_mean(i: Inputs, a: Attributes) -> Tensor:
    return i[0].mean(_axes(i, a), keepdim=bool(a.get("keepdims", 1)))


def _reduce_max(i: Inputs, a: Attributes) -> Tensor:
    return i[0].amax(_axes(i, a), keepdim=bool(a.get("keepdims", 1)))


def _reduce_sum(i: Inputs, a: Attributes) -> Tensor:
    return i[0].sum(_axes(i, a), keepdim=bool(a.get("keepdims", 1)))


def _reduce_l2(i: Inputs, a: Attributes) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(i[0], 2, _axes(i, a), bool(a.get("keepdims", 1)))
    return norm


def _reshape(i: Inputs, a: Attributes) -> Tensor:
    sizes = _ints(i[1])
    return i[0].reshape([i[0].shape[k] if n == 0 else n for k, n in enumerate(sizes)])


def _squeeze(i: Inputs, a: Attributes) -> Tensor:
    return i[0].squeeze(tuple(_ints(i[1]))) if len(i) > 1 else i[0].squeeze()


def _unsqueeze(i: Inputs, a: Attributes) -> Tensor:
    x, axes = i[0], _ints(i[1])
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _gather(i: Inputs, a: Attributes) -> Tensor:
    axis, size = a.get("axis", 0) % i[0].ndim, i[0].shape[a.get("axis", 0)]
    indices = i[1].to(torch.int64) % size  # negative ones count from the end
    if indices.ndim == 0:
        return i[0].select(axis, int(indices))
    shape = (*i[0].shape[:axis], *indices.shape, *i[0].shape[axis + 1 :])
    return i[0].index_select(axis, indices.reshape(-1)).reshape(shape)


def _slice(i: Inputs, a: Attributes) -> Tensor:
    starts, ends = _ints(i[1]), _ints(i[2])
    axes = _ints(i[3]) if len(i) > 3 else list(range(len(starts)))
    steps = _ints(i[4]) if len(i) > 4 else [1] * len(starts)
    if min(steps) < 1:
        raise InputError("a slice that runs backwards cannot be trained.")
    index = [slice(None)] * i[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, end, step)
    return i[0][tuple(index)]


def _split(i: Inputs, a: Attributes) -> Sequence[Tensor]:
    axis = a.get("axis", 0)
    if len(i) > 1:
        return torch.split_with_sizes(i[0], _ints(i[1]), axis)
    return i[0].tensor_split(a["outputs"], axis)


def _clip(i: Inputs, a: Attributes) -> Tensor:
    low = float(i[1]) if len(i) > 1 and i[1].numel() else None
    high = float(i[2]) if len(i) > 2 and i[2].numel() else None
    return i[0].clamp(low, high)


def _batch_norm(i: Inputs, a: Attributes) -> Tensor:
    x, weight, bias, mean, variance = i
    return functional.batch_norm(x, mean, variance, weight, bias, eps=a.get("epsilon", 1e-5))


_OPERATORS: dict[str, Operator] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": lambda i, a: i[0] @ i[1],
    "Add": lambda i, a: i[0] + i[1],
    "Sub": lambda i, a: i[0] - i[1],
    "Mul": lambda i, a: i[0] * i[1],
    "Div": lambda i, a: i[0] / i[1] if i[0].is_floating_point() else i[0] // i[1],
    "Pow": lambda i, a: i[0] ** i[1],
    "Sqrt": lambda i, a: i[0].sqrt(),
    "Relu": lambda i, a: i[0].relu(),
    "Sigmoid": lambda i, a: i[0].sigmoid(),
    "Tanh": lambda i, a: i[0].tanh(),
    "Softmax": lambda i, a: i[0].softmax(a.get("axis", -1)),
    "Clip": _clip,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda i, a: i[0].mean((2, 3), keepdim=True),
    "ReduceMean": _reduce_mean,
    "ReduceMax": _reduce_max,
    "ReduceSum": _reduce_sum,
    "ReduceL2": _reduce_l2,
    "BatchNormalization": _batch_norm,
    "Concat": lambda i, a: torch.cat(list(i), a["axis"]),
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Reshape": _reshape,
    "Flatten": lambda i, a: i[0].flatten(a.get("axis", 1)),
    "Transpose": lambda i, a: i[0].permute(a["perm"]),
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Shape": lambda i, a: torch.tensor(i[0].shape),
    "Expand": lambda i, a: i[0] * torch.ones(_ints(i[1]), dtype=i[0].dtype),
    "Identity": lambda i, a: i[0],
}
