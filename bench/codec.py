"""Dataclasses to plain JSON values and back, guided by their annotations.

Handles dataclasses, tuples, dicts (keys become strings and return to their type), optional values
and plain scalars: what the result file needs.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, TypeVar

from edgereid.errors import InputError

T = TypeVar("T")


def encode(value: Any) -> Any:
    """A value of dataclasses, tuples, dicts and scalars as JSON knows it; what else a runtime may
    put into its details becomes its text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)


def decode(kind: type[T], value: Any) -> T:
    """The inverse of ``encode`` for the dataclass ``kind``; unknown fields are ignored, and a field
    that older files lack takes its default.

    Raises InputError when a field without a default is missing or of another type.
    """
    try:
        return typing.cast(T, _decode(kind, value))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"not a result this edgereid can read: {error!r}.") from error


def _decode(kind: Any, value: Any) -> Any:
    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return _decode(inner, value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_decode(arguments[0], item) for item in value)
        return tuple(_decode(a, item) for a, item in zip(arguments, value, strict=True))
    if origin is dict:
        return {arguments[0](key): _decode(arguments[1], item) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _decode_dataclass(kind: Any, value: Any) -> Any:
    hints = typing.get_type_hints(kind)
    given = [f.name for f in dataclasses.fields(kind) if f.name in value or not _optional(f)]
    return kind(**{name: _decode(hints[name], value[name]) for name in given})


def _optional(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing
