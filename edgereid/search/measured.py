"""What was measured, as plain records that go through JSON unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgereid.errors import InputError


@dataclass(frozen=True, slots=True)
class Cost:
    """Time relative to another engine that took turns with it, 1: as long; 95 % interval. ``ms``:
    the median of a batch, which another run would give otherwise."""

    value: float
    low: float
    high: float
    ms: float

    @property
    def slower(self) -> bool:
        """Clearly: the interval clears 1."""
        return self.low > 1.0

    @property
    def faster(self) -> bool:
        return self.high < 1.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Cost:
        return Cost(*(_number(value, name) for name in ("value", "low", "high", "ms")))


@dataclass(frozen=True, slots=True)
class Agreement:
    """Embeddings beside the float network's, whose gallery stays as it is. ``error``: squared
    distance, mean over the images, relative to the float embeddings' variance. ``cosine``: mean
    cosine after the float network's mean is taken off both. ``kept``: share of the images whose
    best match among the others, in float features, stays."""

    error: float
    cosine: float
    kept: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Agreement:
        return Agreement(*(_number(value, name) for name in ("error", "cosine", "kept")))


@dataclass(frozen=True, slots=True)
class Drop:
    """Loss in mAP, in points: as measured, and its upper bound of error rate ``level``; positive is
    worse. ``people``: identities whose queries it rests on."""

    points: float
    high: float
    level: float
    queries: int
    people: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Drop:
        points, high, level = (_number(value, name) for name in ("points", "high", "level"))
        return Drop(points, high, level, int(value["queries"]), int(value["people"]))


def _number(value: Mapping[str, Any], name: str) -> float:
    found = value[name]
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise InputError(f"{name} is {found!r}: a number is needed.")
    return float(found)
