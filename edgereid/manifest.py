"""The manifest of a bundle: what it holds and how it is read. ``docs/bundle.md`` gives the format.

A manifest may come from anywhere, so every field is checked and an unknown one is refused: to
overlook, say, another way to resize would change every embedding without a word.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgereid.errors import InputError
from edgereid.images import Preprocessing

MANIFEST = "manifest.json"
SCHEMA = 1
ROLES = ("weights", "float", "calibration", "repairs", "engine", "data")
DISTANCES = ("cosine", "euclidean")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of a bundle. ``runtime`` and ``precision`` are set on what an engine can open.

    Raises InputError on a name that is more than a plain file name, or on an unknown role.
    """

    name: str
    role: str
    sha256: str
    bytes: int
    runtime: str | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        if not _PLAIN_NAME.fullmatch(self.name) or self.name == MANIFEST:
            raise InputError(
                f"the manifest names the file {_short(self.name)}: only plain names are allowed."
            )
        if self.role not in ROLES:
            raise InputError(
                f"the manifest gives {self.name} the role {_short(self.role)}: "
                f"not {', '.join(ROLES)}."
            )

    def to_json(self) -> dict[str, Any]:
        value = {
            "role": self.role,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "runtime": self.runtime,
            "precision": self.precision,
        }
        return {key: v for key, v in value.items() if v is not None}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``manifest.json`` holds. The files stand in the order of their names. ``flip``: an
    embedding is the mean of the features of an image and of its mirror image; the host takes it."""

    network: str
    feature_size: int
    preprocessing: Preprocessing
    files: tuple[BundleFile, ...] = ()
    distance: str = "cosine"
    targets: tuple[str, ...] = ()
    #: engine file -> node -> type it runs in
    precision: dict[str, dict[str, str]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)
    flip: bool = False

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.files, key=lambda f: f.name))
        if len({f.name for f in ordered}) != len(ordered):
            raise InputError("the manifest names a file twice.")
        object.__setattr__(self, "files", ordered)

    def to_json(self) -> dict[str, Any]:
        # Written only when set: a version that does not know it refuses it, and reads all others.
        flip = {"flip": True} if self.flip else {}
        return flip | {
            "schema": SCHEMA,
            "network": self.network,
            "feature_size": self.feature_size,
            "distance": self.distance,
            "preprocessing": self.preprocessing.to_json(),
            "targets": list(self.targets),
            "precision": self.precision,
            "provenance": self.provenance,
            "accuracy": self.accuracy,
            "files": {f.name: f.to_json() for f in self.files},
        }

    @staticmethod
    def from_json(value: Any, source: str = MANIFEST) -> Manifest:
        """The inverse of ``to_json``. Raises InputError, naming ``source`` and the first wrong
        field, on a manifest of another schema or with missing, unknown or wrong fields."""
        if not isinstance(value, dict):
            raise InputError(f"{source} is not an edgereid manifest: it holds no JSON object.")
        schema = value.get("schema")
        if type(schema) is not int or schema != SCHEMA:
            raise InputError(
                f"{source} has schema {_short(schema)}; this edgereid reads {SCHEMA}: "
                "export the bundle again or install the version that wrote it."
            )
        try:
            fields = _parsed({k: v for k, v in value.items() if k != "schema"}, _MANIFEST_FIELDS)
            return Manifest(**fields)
        except InputError as error:
            raise InputError(f"{source} cannot be read: {error}") from error


def _short(value: object) -> str:
    """A value for a message: one line, not long, whatever it is."""
    return reprlib.repr(value)


_Reader = Callable[[Any], Any]


def _parsed(value: Mapping[str, Any], readers: Mapping[str, _Reader]) -> dict[str, Any]:
    """Read every field with its reader; optional ones have names that end in "?"."""
    required = {name for name in readers if not name.endswith("?")}
    allowed = {name.rstrip("?"): reader for name, reader in readers.items()}
    if missing := sorted(required - set(value)):
        raise InputError(f"the field {missing[0]!r} is missing.")
    if unknown := sorted(set(value) - set(allowed)):
        raise InputError(f"the field {_short(unknown[0])} is unknown: a newer edgereid wrote it?")
    found = {}
    for name, v in value.items():
        try:
            found[name] = allowed[name](v)
        except ValueError as error:
            raise InputError(f"the field {name!r} is {_short(v)}: {error} is needed.") from error
    return found


def _matching(pattern: re.Pattern[str], what: str) -> _Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(what)
        return value

    return read


def _one_of(*allowed: str) -> _Reader:
    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return str(value)

    return read


def _whole(low: int, high: int) -> _Reader:
    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return read


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a JSON object")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of names")
    return tuple(map(_plain, value))


def _precision(value: Any) -> dict[str, dict[str, str]]:
    for types in _object(value).values():
        if not all(isinstance(t, str) for t in _object(types).values()):
            raise ValueError("an object of types by node")
    return dict(value)


def _files(value: Any) -> tuple[BundleFile, ...]:
    return tuple(
        BundleFile(name, **_parsed(_object(f), _FILE_FIELDS)) for name, f in _object(value).items()
    )


_plain = _matching(_PLAIN_NAME, "a plain name (letters, digits, '.', '_', '-')")
_FILE_FIELDS: dict[str, _Reader] = {
    "role": _one_of(*ROLES),
    "sha256": _matching(_SHA256, "a SHA-256 in 64 hexadecimal digits"),
    "bytes": _whole(0, 2**53),
    "runtime?": _plain,
    "precision?": _plain,
}
_MANIFEST_FIELDS: dict[str, _Reader] = {
    "network": _plain,
    "feature_size": _whole(1, 2**20),
    "distance": _one_of(*DISTANCES),
    "preprocessing": Preprocessing.from_json,
    "targets": _names,
    "precision": _precision,
    "provenance": _object,
    "accuracy": _object,
    "files": _files,
    "flip?": _truth,
}
