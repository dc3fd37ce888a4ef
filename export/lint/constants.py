"""The constants of an ONNX graph: initializers and the values of Constant nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

FLOATS = ("float", "float16", "bfloat16", "double")
EXTERNAL = 1  # TensorProto.EXTERNAL: the numbers lie in another file
#: Attribute of a Constant node -> where AttributeProto holds it, and the type ONNX gives it.
_PLAIN = {
    "value_float": ("f", "FLOAT"),
    "value_floats": ("floats", "FLOAT"),
    "value_int": ("i", "INT64"),
    "value_ints": ("ints", "INT64"),
}


def constants_of(graph: Any) -> dict[str, Any]:
    """Constants by name, as onnx.TensorProto."""
    found = {t.name: t for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for a in node.attribute:
                if a.name == "value":
                    found[node.output[0]] = a.t
                elif a.name in _PLAIN:
                    found[node.output[0]] = _tensor(a)
    return found


def _tensor(a: Any) -> Any:
    from onnx import TensorProto, helper

    where, kind = _PLAIN[a.name]
    value = getattr(a, where)
    numbers = list(value) if isinstance(value, Iterable) else [value]
    shape = [len(numbers)] if isinstance(value, Iterable) else []
    return helper.make_tensor("", TensorProto.DataType.Value(kind), shape, numbers)


def type_name(number: int) -> str:
    """ONNX's name of a type of numbers, in lower case."""
    from onnx import TensorProto

    known = TensorProto.DataType.DESCRIPTOR.values_by_number
    return known[number].name.lower() if number in known else f"type {number}"
