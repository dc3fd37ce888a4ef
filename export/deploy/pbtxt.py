"""Protocol buffers' text format, written without protobuf.

https://protobuf.dev/reference/protobuf/textformat-spec. Only what a configuration needs: messages,
lists of them, strings, integers and enum values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Symbol:
    """A value of an enum: its name, written without quotes."""

    name: str


def text(message: Mapping[str, Any]) -> str:
    """The message, one field a line, in the order of the mapping. A list of mappings is a repeated
    message, any other list is written in brackets. Raises TypeError on another kind of value."""
    return "".join(f"{line}\n" for line in _lines(message, ""))


def _lines(message: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in message.items():
        if isinstance(value, Mapping):
            yield from _block(name, value, indent)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for item in value:
                yield from _block(name, item, indent)
        elif isinstance(value, list):
            yield f"{indent}{name}: [{_listed(value)}]"
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _block(name: str, message: Mapping[str, Any], indent: str) -> Iterator[str]:
    yield f"{indent}{name} {{"
    yield from _lines(message, indent + "  ")
    yield f"{indent}}}"


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(_scalar, values))


def _scalar(value: Any) -> str:
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value.encode()))}"'
    raise TypeError(f"{type(value).__name__} has no text form here")


def _escaped(byte: int) -> str:
    """A byte of a UTF-8 string; what is no printable ASCII in three octal digits."""
    if byte in (0x22, 0x5C):  # " and \
        return f"\\{chr(byte)}"
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"
