"""Abstract values: sets of what an expression may be.

Kinds of atoms, each a tuple: ("module",) is ``tensorrt`` itself, ("class", name) one of its classes
or enumerations, ("obj", name) an instance, ("function", name) one of its functions, ("method",
class, name) a bound method; ("def", key) a function of ours, ("bound", key, self) a bound method of
ours, ("ours", key) a class of ours, ("instance", key) an object of it; ("const", value), ("list",
items), ("tuple", items...); ("plain",) something that is not TensorRT's; ("any",) unknown.
"""

from __future__ import annotations

from typing import Any

from trt_fakes.api import Api, Signature

Atom = tuple[Any, ...]
Value = frozenset[Atom]

ANY: Value = frozenset({("any",)})
PLAIN: Value = frozenset({("plain",)})
DEPTH = 4  # of lists in lists: deeper ones become unknown


def one(*atom: Any) -> Value:
    return frozenset({tuple(atom)})


def const(value: Any) -> Value:
    return one("const", value) if isinstance(value, (bool, str, type(None))) else PLAIN


def join(*values: Value) -> Value:
    """What may be any of these."""
    return frozenset().union(*values)


def depth(value: Value) -> int:
    inner = [part for atom in value if atom[0] in ("list", "tuple") for part in atom[1:]]
    return 1 + max(map(depth, inner), default=0) if inner else 0


def listed(items: Value) -> Value:
    return ANY if depth(items) >= DEPTH else one("list", items)


def tupled(items: list[Value]) -> Value:
    return ANY if max(map(depth, items), default=0) >= DEPTH else one("tuple", *items)


def elements(value: Value) -> Value:
    """What iterating gives."""
    found: list[Value] = []
    for atom in value:
        if atom[0] == "list":
            found.append(atom[1])
        elif atom[0] == "tuple":
            found += atom[1:]
        else:
            found.append(ANY if atom == ("any",) else PLAIN)
    return join(*found) if found else ANY


def truth(value: Value) -> bool | None:
    """True, False, or None when it depends."""
    found = set()
    for atom in value:
        if atom[0] == "const":
            found.add(bool(atom[1]))
        elif atom[0] in ("module", "class", "function", "method", "def", "bound", "ours"):
            found.add(True)
        else:
            return None
    return found.pop() if len(found) == 1 else None


def of_type(api: Api, kind: str) -> Value:
    """What a signature's type says."""
    if kind in api.classes or kind in api.enums or kind == "ILogger.Severity":
        return one("obj", kind)
    if kind.startswith("list["):
        return listed(of_type(api, kind[5:-1]))
    return PLAIN


def is_tensorrt(atom: Atom) -> bool:
    return atom[0] in ("module", "class", "obj")


ENUM_PARTS = {"name", "value", "__members__"}
DATA_TYPE_PARTS = ENUM_PARTS | {"itemsize"}


def lookup(api: Api, atom: Atom, name: str) -> Value | None:
    """The attribute of a TensorRT atom in this release; None when there is none."""
    if atom[0] == "module":
        return _of_module(api, name)
    kind = atom[1]
    severities = dict(api.classes["ILogger"].members["Severity"].enum)
    enums = {**api.enums, "ILogger.Severity": severities}
    if kind in enums:
        parts = DATA_TYPE_PARTS if kind == "DataType" else ENUM_PARTS
        if atom[0] == "class" and name in enums[kind]:
            return one("obj", kind)
        return PLAIN if name in parts or name.startswith("__") else None
    if name.startswith("__") and name != "__init__":
        return PLAIN
    member = api.classes[kind].members.get(name)
    if member is None:
        return None
    if member.kind == "method":
        return one("unbound" if atom[0] == "class" else "method", kind, name)
    if member.kind == "class":
        return one("class", "ILogger.Severity")
    if member.kind == "value":
        return one("obj", "ILogger.Severity")
    return of_type(api, member.type)


def _of_module(api: Api, name: str) -> Value | None:
    if name in api.classes or name in api.enums:
        return one("class", name)
    if name in api.functions:
        return one("function", name)
    if name in api.constants:
        kind, _, _ = api.constants[name].partition(".")
        return one("obj", kind) if kind in api.enums else PLAIN
    return PLAIN if name == "__version__" else None


def takes(signatures: tuple[Signature, ...], positional: int, keywords: set[str]) -> bool:
    """Whether one of the overloads takes so many arguments and these keywords."""
    for signature in signatures:
        names = [p.name for p in signature.parameters]
        given = set(names[:positional])
        required = {p.name for p in signature.parameters if not p.optional}
        fits = positional <= len(names) and keywords <= set(names) - given
        if fits and required <= given | keywords:
            return True
    return False
