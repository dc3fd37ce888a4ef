"""The public names of five TensorRT releases, read from ``tests/tensorrt/api``."""

from __future__ import annotations

import json
import lzma
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

RELEASES = ("8.6", "10.3", "10.13", "10.16", "11.4")
DATA = Path(__file__).parents[1] / "api"

# What pybind11 writes for Python's own types, old and new, and for the classes of C++.
PLAIN = {
    "typing.SupportsInt": "int",
    "typing.SupportsFloat": "float",
    "typing_extensions.Buffer": "buffer",
    "typing_extensions.CapsuleType": "capsule",
    "IParserError": "ParserError",
    "IEngineInspector": "EngineInspector",
    "IBuilder": "Builder",
    "Severity": "ILogger.Severity",
}


def simple(kind: str) -> str:
    """A type as the module names it: ``nvonnxparser::OnnxParserFlag`` is OnnxParserFlag."""
    kind = re.sub(r"\b(\w+::)+", "", kind.strip())
    kind = re.sub(r"\bcollections\.abc\.Sequence\b|\bList\b", "list", kind)
    kind = kind.replace("Tuple", "tuple")
    for written, meant in PLAIN.items():
        kind = re.sub(rf"(?<![\w.]){re.escape(written)}\b", meant, kind)
    return kind


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: str
    optional: bool
    default: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """One overload, without ``self``."""

    parameters: tuple[Parameter, ...]
    returns: str


@dataclass(frozen=True, slots=True)
class Member:
    """``kind``: method, ro or rw (properties), class, value, static. ``type``: of a property."""

    kind: str
    signatures: tuple[Signature, ...] = ()
    type: str = ""
    enum: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Class:
    bases: tuple[str, ...]
    members: dict[str, Member]

    @property
    def constructible(self) -> bool:
        return bool(self.members["__init__"].signatures)


@dataclass(frozen=True, slots=True)
class Api:
    """One release: every name of the module, by what it is."""

    release: str
    version: str
    classes: dict[str, Class]
    enums: dict[str, dict[str, int]]
    ordered: frozenset[str]  # enumerations that have < and >
    functions: dict[str, tuple[Signature, ...]]
    constants: dict[str, str]
    modules: tuple[str, ...]

    def has(self, name: str) -> bool:
        """Whether the module has this name (of one part)."""
        return name in {*self.classes, *self.enums, *self.functions, *self.constants, "__version__"}


def _split(text: str) -> list[str]:
    """Split at the commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(text):
        depth += (letter in "([{<") - (letter in ")]}" or (letter == ">" and text[i - 1] != "-"))
        if letter == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [p.strip() for p in [*parts, text[start:]] if p.strip()]


def parse(text: str) -> Signature:
    """``name(self: T, a: int = 0) -> R``, as pybind11 or ``inspect.signature`` writes it."""
    match = re.match(r"^\w*\((.*)\)(?: -> (.+))?$", text)
    assert match, text
    parameters = []
    for i, part in enumerate(_split(match[1])):
        head, _, default = part.partition(" = ") if " = " in part else part.partition("=")
        name, _, kind = head.partition(":")
        if i == 0 and name == "self":
            continue
        parameters.append(Parameter(name.strip(), simple(kind), bool(default), default.strip()))
    return Signature(tuple(parameters), simple(match[2] or ""))


def _member(raw: list[Any]) -> Member:
    kind, *rest = raw
    if kind == "method":
        return Member(kind, tuple(parse(s) for s in rest))
    if kind in ("ro", "rw"):
        return Member(kind, type=simple(rest[0]) if rest else "")
    if kind == "class":
        return Member(kind, enum=tuple(sorted(rest[0].items())) if rest else ())
    return Member(kind)


def _class(raw: dict[str, Any]) -> Class:
    return Class(tuple(raw["bases"]), {n: _member(m) for n, m in raw["members"].items()})


@cache
def load(release: str) -> Api:
    """The API of one of RELEASES."""
    data = json.loads(lzma.decompress((DATA / f"{release}.json.xz").read_bytes()))
    names: dict[str, Any] = data["names"]
    return Api(
        release,
        data["version"],
        {n: _class(d) for n, d in names.items() if "members" in d},
        {n: d["enum"] for n, d in names.items() if "enum" in d},
        frozenset(n for n, d in names.items() if d.get("ordered")),
        {n: tuple(map(parse, d["function"])) for n, d in names.items() if "function" in d},
        {n: d["constant"] for n, d in names.items() if "constant" in d},
        tuple(n for n, d in names.items() if "module" in d),
    )
