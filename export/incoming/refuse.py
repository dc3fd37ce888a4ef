"""What an ONNX file must not hold to become an embedding network for the edge: one table."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgereid.errors import InputError
from edgereid.export.graph import attribute
from edgereid.export.incoming.edit import infer
from edgereid.export.incoming.signature import Signature, fix_input

_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike"}
)
_QUANTIZED = frozenset(
    {"ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv"}
    | {"QLinearMatMul", "QuantizeLinear"}
)
MAX_VALUES = 2**28  # 1 GiB
_CONTROL = frozenset({"If", "Loop", "Scan", "SequenceMap"})


def own_domain(node: Any) -> bool:
    """Whether an operator is of ONNX's own set."""
    return node.domain in ("", "ai.onnx")


def training(node: Any, constants: dict[str, Any]) -> bool:
    """Whether a node works as in training: statistics of the batch, or a random mask."""
    if node.op_type == "BatchNormalization":
        return bool(attribute(node, "training_mode", 0)) or sum(map(bool, node.output)) > 1
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
        value = constants.get(node.input[2])
        return value is None or bool(value.reshape(-1)[0])
    return False


@dataclass(frozen=True, slots=True)
class _Rule:
    applies: Callable[[Any, dict[str, Any]], bool]
    message: str  # of the node: {name}, {op}, {domain}


_RULES = (
    _Rule(
        lambda n, _: not own_domain(n),
        "{name} is a {domain}.{op}: only ONNX's own operators are taken; export it again without "
        "optimising it for one runtime.",
    ),
    _Rule(
        lambda n, _: n.op_type in _QUANTIZED,
        "{name} is a {op}: the network is quantized already; give the float one it was made from.",
    ),
    _Rule(
        lambda n, _: n.op_type in _CONTROL,
        "{name} is a {op}: branches and loops are not taken; export it with a fixed input size, or "
        "simplify it (onnxsim).",
    ),
    _Rule(
        lambda n, _: n.op_type in _RANDOM,
        "{name} is a {op}: the embedding would be another each time; remove what draws numbers and "
        "export again.",
    ),
    _Rule(
        training,
        "{name} is a {op} in training mode: call model.eval() and export again.",
    ),
)


def refuse_operators(model: Any, what: str) -> None:
    """Raise InputError that names the first node that cannot be taken, and what to do."""
    from onnx import numpy_helper

    constants = {
        i.name: numpy_helper.to_array(i) for i in model.graph.initializer if len(i.dims) < 2
    }
    for node in model.graph.node:
        for rule in _RULES:
            if rule.applies(node, constants):
                text = rule.message.format(name=node.name, op=node.op_type, domain=node.domain)
                raise InputError(f"{what}: {text}")


def refuse_tensors(model: Any, signature: Signature, what: str) -> None:
    """Raise InputError for a layer that does not compute in float32, and for a tensor of more than
    ``MAX_VALUES`` values: a small file may ask for any memory."""
    from onnx import TensorProto

    fixed = copy.deepcopy(model)
    fix_input(fixed, (signature.height, signature.width), signature.batch or 1)
    shapes, types = infer(fixed)
    for name, shape in shapes.items():
        if math.prod(d or 1 for d in shape) > MAX_VALUES:
            raise InputError(
                f"{what}: the tensor {name!r:.60} has the shape {shape}: no tensor of more than "
                f"{MAX_VALUES:,} values is taken."
            )
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization"):
            continue
        got = types.get(node.output[0], TensorProto.FLOAT)
        if got != TensorProto.FLOAT:
            name = TensorProto.DataType.Name(got).lower()
            raise InputError(
                f"{what}: {node.name} computes in {name}: only float32 networks are taken; "
                "export it in float32."
            )
