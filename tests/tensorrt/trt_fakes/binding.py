"""Classes as pybind11 makes them: exactly the members that a release has, arguments checked.

A part of TensorRT is played by a plain class (see ``parts.py``) with ``_do_NAME`` for a method,
``_get_NAME`` and ``_set_NAME`` for a property and ``_start`` for the constructor. ``make_class``
turns it into the class that code sees, with the members of one release and nothing else.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from trt_fakes.api import Api, Class, Member, Parameter, Signature


class NotPlayedError(NotImplementedError):
    """The real release has this member, the fake does not play it: widen the fake."""


class Enum:
    """A pybind11 enumeration: no number by itself, equal only to its own kind."""

    __members__: dict[str, Enum]
    _kind: str

    def __init__(self, value: int) -> None:
        self._value = operator.index(value)

    @property
    def value(self) -> int:
        return self._value

    @property
    def name(self) -> str:
        names = (n for n, m in type(self).__members__.items() if m._value == self._value)
        return next(names, "???")

    def __int__(self) -> int:
        return self._value

    __index__ = __int__

    def __hash__(self) -> int:
        return self._value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._value == other._value

    def __repr__(self) -> str:
        return f"<{self}: {self._value}>"

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


@functools.total_ordering
class OrderedEnum(Enum):
    """Some enumerations can be compared, with their own kind only."""

    __hash__ = Enum.__hash__

    def __lt__(self, other: Enum) -> bool:
        if type(other) is not type(self):
            raise TypeError(f"Expected an enumeration of matching type, not {other!r}")
        return self._value < other._value


def make_enum(name: str, members: dict[str, int], ordered: bool) -> type[Enum]:
    kind = type(name, (OrderedEnum if ordered else Enum,), {"__members__": {}})
    kind.__members__ = {n: kind(value) for n, value in members.items()}
    for member, instance in kind.__members__.items():
        setattr(kind, member, instance)
    return kind


# --- arguments --------------------------------------------------------------------------------


def fits(kind: str, value: Any, types: dict[str, Any]) -> bool:
    """Whether pybind11 would take ``value`` for a parameter of this type."""
    if kind in ("", "object", "capsule", "Callable", "function"):
        return True
    if kind == "bool":
        return isinstance(value, bool) or type(value).__name__ == "bool_"
    if kind == "int":
        return hasattr(value, "__index__") and not isinstance(value, Enum)
    if kind == "float":
        return hasattr(value, "__float__") or hasattr(value, "__index__")
    if kind == "str":
        return isinstance(value, (str, bytes))
    if kind == "buffer":
        return _is_buffer(value)
    if kind in ("tuple", "list", "dict", "bytes"):
        return type(value).__name__ == kind
    if kind.startswith("list["):
        inner = kind[5:-1]
        items = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        return items and all(fits(inner, v, types) for v in value)
    if kind in ("Dims", "Permutation", "DimsHW") and isinstance(value, (tuple, list)):
        return all(fits("int", v, types) for v in value)
    known = types.get(kind)
    if known is None:
        raise NotPlayedError(f"an argument of the type {kind}")
    # Pointers may be None, except loggers and parts that TensorRT takes by reference.
    return isinstance(value, known) or (value is None and kind in NULLABLE)


NULLABLE = {"IProfiler", "IProgressMonitor", "IErrorRecorder", "ITimingCache", "IInt8Calibrator"}
NULLABLE |= {"IGpuAllocator", "IAlgorithmSelector", "IExecutionContext", "IRuntimeConfig"}


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except TypeError:
        return False
    return not isinstance(value, str)


def _default(parameter: Parameter, types: dict[str, Any]) -> Any:
    text = parameter.default
    if text.startswith("<"):  # <Severity.WARNING: 2>
        kind = types[parameter.kind]
        return kind.__members__[text[1:].partition(":")[0].rpartition(".")[2]]
    return {"None": None, "True": True, "False": False}.get(text, _number(text))


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text.strip("'\"")


def _bind_one(
    signature: Signature, args: tuple[Any, ...], kwargs: dict[str, Any], types: dict[str, Any]
) -> list[Any] | None:
    """The values in the order of the signature; None when the call does not fit it."""
    names = [p.name for p in signature.parameters]
    given = dict(zip(names, args, strict=False))
    if len(args) > len(names) or set(kwargs) - set(names) or set(kwargs) & set(given):
        return None
    given |= kwargs
    values = []
    for p in signature.parameters:
        if p.name not in given and not p.optional:
            return None
        value = given[p.name] if p.name in given else _default(p, types)
        optional_none = value is None and p.default == "None"
        if not optional_none and not fits(p.kind, value, types):
            return None
        values.append(value)
    return values


def bind(
    what: str,
    signatures: tuple[Signature, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    types: dict[str, Any],
) -> list[Any]:
    """The values for the first overload that fits; TypeError, as pybind11 raises it, for none."""
    for signature in signatures:
        values = _bind_one(signature, args, kwargs, types)
        if values is not None:
            return values
    supported = [", ".join(f"{p.name}: {p.kind}" for p in s.parameters) for s in signatures]
    listed = "\n".join(f"    {i}. ({text})" for i, text in enumerate(supported, 1))
    raise TypeError(
        f"{what}(): incompatible function arguments. The following argument types are supported:\n"
        f"{listed}\n\nInvoked with: {args}, {kwargs}"
    )


# --- classes ----------------------------------------------------------------------------------


class Meta(type):
    """Whoever derives from a class in Python must call its constructor."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if isinstance(made, Part) and not made._started:
            raise TypeError(
                f"{cls.__mro__[1].__name__}.__init__() must be called when overriding __init__"
            )
        return made


class Part(metaclass=Meta):
    """Base of everything played. ``_world`` is what one installed fake shares."""

    _world: Any
    _exact: type
    _writable: frozenset[str] = frozenset()
    _started = False

    def _start(self, *values: Any) -> None:
        """What the constructor does, with the bound arguments."""

    def __setattr__(self, name: str, value: Any) -> None:
        own = type(self) is not self._exact  # derived in Python: it has a __dict__
        if not (name.startswith("_") or own or name in self._writable):
            raise AttributeError(
                f"'tensorrt.{type(self).__name__}' object has no attribute {name!r} that can be set"
            )
        object.__setattr__(self, name, value)


def _method(owner: str, name: str, member: Member, types: dict[str, Any]) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        values = bind(name, member.signatures, args, kwargs, types)
        play = getattr(self, f"_do_{name}", None)
        if play is None:
            raise NotPlayedError(f"{owner}.{name}")
        return play(*values)

    call.__name__ = name
    return call


def _property(owner: str, name: str, member: Member, types: dict[str, Any]) -> property:
    def get(self: Any) -> Any:
        play = getattr(self, f"_get_{name}", None)
        if play is not None:
            return play()
        if member.kind == "rw":
            return self.__dict__.get(f"_value_{name}", ZERO.get(member.type))
        raise NotPlayedError(f"{owner}.{name}")

    def put(self: Any, value: Any) -> None:
        optional = value is None and member.type not in ZERO
        if not optional and not fits(member.type, value, types):
            raise TypeError(f"{owner}.{name}: incompatible function arguments: {value!r}")
        play = getattr(self, f"_set_{name}", None)
        if play is not None:
            play(value)
        else:
            self.__dict__[f"_value_{name}"] = value

    return property(get, put if member.kind == "rw" else None)


ZERO: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False, "str": ""}


def _constructor(name: str, described: Class, types: dict[str, Any]) -> Callable[..., None]:
    signatures = described.members["__init__"].signatures

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if not signatures:
            raise TypeError(f"tensorrt.{name}: No constructor defined!")
        values = bind("__init__", signatures, args, kwargs, types)
        self._started = True
        self._start(*values)

    return init


def make_class(name: str, api: Api, bases: tuple[type, ...], types: dict[str, Any]) -> Any:
    """The class ``name`` as one release has it; among ``bases`` is who plays it."""
    described = api.classes[name]
    space: dict[str, Any] = {"__init__": _constructor(name, described, types)}
    for member_name, member in described.members.items():
        if member.kind == "method" and not member_name.startswith("__"):
            space[member_name] = _method(name, member_name, member, types)
        elif member.kind in ("ro", "rw"):
            space[member_name] = _property(name, member_name, member, types)
        elif member.kind == "class":
            space[member_name] = types.get(f"{name}.{member_name}")
    space["_writable"] = frozenset(n for n, m in described.members.items() if m.kind == "rw")
    made: Any = Meta(name, bases, space)
    made._exact = made
    return made
