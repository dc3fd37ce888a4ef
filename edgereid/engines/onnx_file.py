"""What an engine must know of an ONNX file before a runtime sees it, read without the onnx package.

A machine that only runs networks has no onnx package. An ONNX file is a protobuf message, and its
wire format is simple: every field is a number, a type and a value
(https://protobuf.dev/programming-guides/encoding). Only the messages on the way to operator types
and to external tensors are entered; field numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgereid.errors import InputError

#: message -> field number -> the message or text found there.
_FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {4: "operator", 5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
    "external": {1: "key", 2: "value"},
}
_TEXTS = ("operator", "key", "value")
_MAX_DEPTH = 64  # graphs in nodes in graphs; real files have a handful
#: Operators that make the arithmetic 8-bit; a DequantizeLinear alone only unpacks weights.
_INT8_OPERATORS = frozenset(
    {
        "QuantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
    }
)


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """The operator types of a file and the names of the files that hold some of its tensors."""

    operators: frozenset[str]
    external: frozenset[str]

    @property
    def is_int8(self) -> bool:
        return bool(self.operators & _INT8_OPERATORS)


def read_onnx(path: Path) -> OnnxFile:
    """Scan a file; raises InputError when it is no ONNX model."""
    try:
        if path.stat().st_size == 0:
            raise ValueError("it is empty")
        with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = list(_texts(data, 0, len(data), "model", 0))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} is not an ONNX file that can be read ({error}).") from error
    operators = frozenset(text for kind, text in found if kind == "operator")
    if not operators:
        raise InputError(f"{path} is not an ONNX file that can be read (no operators in it).")
    return OnnxFile(operators, frozenset(text for kind, text in found if kind == "location"))


def _texts(
    data: mmap.mmap, start: int, end: int, message: str, depth: int
) -> Iterator[tuple[str, str]]:
    """("operator", type) and ("location", file name) of everything in a message."""
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    entry: dict[str, str] = {}
    for number, first, last in _fields(data, start, end):
        kind = _FIELDS[message].get(number)
        if kind is None:
            continue
        if kind not in _TEXTS:
            yield from _texts(data, first, last, kind, depth + 1)
        elif kind == "operator":
            yield kind, data[first:last].decode("utf-8")
        else:
            entry[kind] = data[first:last].decode("utf-8")
    if entry.get("key") == "location":
        yield "location", entry.get("value", "")


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, first byte, one past the last byte) of the length-delimited fields; others are
    skipped."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        wire = tag & 7
        if wire == 0:
            _, at = _varint(data, at, end)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        elif wire == 2:
            length, at = _varint(data, at, end)
            if length > end - at:
                raise ValueError("it is cut off or damaged")
            yield tag >> 3, at, at + length
            at += length
        else:
            raise ValueError("it is no protobuf message")
    if at != end:
        raise ValueError("it is cut off or damaged")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A variable-length integer and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("it is cut off or damaged")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is no protobuf message")
