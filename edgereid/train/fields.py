"""JSON values as the fields of a dataclass: types are checked, unknown names get a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from edgereid.errors import UsageError


def typed(kind: Any, value: Any, prefix: str) -> dict[str, Any]:
    """The fields of ``value`` as the types that the dataclass ``kind`` declares.

    Raises UsageError that names the field, after ``prefix``.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f"recipe: {prefix or 'it'} is not a JSON object.")
    types = {f.name: str(f.type) for f in fields(kind)}
    out: dict[str, Any] = {}
    for key, got in value.items():
        if key not in types:
            close = difflib.get_close_matches(str(key), types, n=1)
            hint = f" Did you mean {prefix}{close[0]}?" if close else f" Known: {', '.join(types)}."
            raise UsageError(f"recipe: unknown field {prefix}{key}.{hint}")
        try:
            out[key] = _READERS[types[key]](got)
        except (TypeError, ValueError, KeyError) as error:
            raise UsageError(f"recipe: {prefix}{key} is {got!r}: not {types[key]}.") from error
    return out


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(value)
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _pair(value: Any) -> tuple[float, float]:
    low, high = (_number(v) for v in value)
    return low, high


def _numbers(value: Any) -> tuple[float, ...]:
    if isinstance(value, str):
        raise TypeError(value)
    return tuple(_number(v) for v in value)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(value)
    return tuple(_text(v) for v in value)


_READERS: dict[str, Any] = {
    "str": _text,
    "int": _integer,
    "float": _number,
    "bool": _flag,
    "tuple[float, float]": _pair,
    "tuple[float, ...]": _numbers,
    "tuple[str, ...]": _texts,
}
