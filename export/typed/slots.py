"""Which inputs of an operator may be float16, by ONNX's own schemas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

_HALF = "tensor(float16)"


@dataclass(frozen=True, slots=True)
class Slots:
    """Types of an operator's inputs and outputs. A type is a variable of the schema ("T") or fixed
    ("tensor(float)"); ``half``: the variables that may be float16; the last of a variadic list
    stands for all that follow."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    half: frozenset[str]

    def takes_half(self, i: int) -> bool:
        """Whether input ``i`` may be float16."""
        return bool(self.inputs) and self.inputs[min(i, len(self.inputs) - 1)] in self.half

    def makes_half(self, i: int) -> bool:
        """Whether output ``i`` is float16 when the inputs that may be are."""
        kind = self.outputs[min(i, len(self.outputs) - 1)] if self.outputs else ""
        return kind in self.half and kind in self.inputs


def slots(node: Any, opset: int) -> Slots | None:
    """The slots of a node's operator; None when it is not one of ONNX's own."""
    return _slots(node.op_type, node.domain, opset)


@cache
def _slots(operator: str, domain: str, opset: int) -> Slots | None:
    from onnx import defs

    if domain not in ("", "ai.onnx"):
        return None
    try:
        schema = defs.get_schema(operator, opset)
    except defs.SchemaError:
        return None
    half = {c.type_param_str for c in schema.type_constraints if _HALF in c.allowed_type_strs}
    return Slots(
        tuple(p.type_str for p in schema.inputs),
        tuple(p.type_str for p in schema.outputs),
        frozenset(half),
    )
