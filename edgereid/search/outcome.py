"""What a search found: the Pareto front, the point taken and why; as kept in a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.errors import InputError
from edgereid.files import read_json
from edgereid.search.choice import Choice
from edgereid.search.measured import Agreement, Cost, Drop
from edgereid.search.units import Unit

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Point:
    """A choice that was built and measured. ``cost``: its time relative to the best float engine.
    ``keeps``: whether it keeps the accuracy budget, None: not judged."""

    choice: Choice
    cost: Cost
    agreement: Agreement
    drop: Drop | None = None
    keeps: bool | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "arithmetic": self.choice.arithmetic,
            "kept": list(self.choice.kept),
            "cost": self.cost.to_json(),
            "agreement": self.agreement.to_json(),
            "drop": None if self.drop is None else self.drop.to_json(),
            "keeps_budget": self.keeps,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any], units: int) -> Point:
        kept = tuple(int(i) for i in value["kept"])
        if any(not 0 <= i < units for i in kept):
            raise ValueError(f"units {kept} of {units}")
        drop = value["drop"]
        return Point(
            Choice(str(value["arithmetic"]), kept, units),
            Cost.from_json(value["cost"]),
            Agreement.from_json(value["agreement"]),
            None if drop is None else Drop.from_json(drop),
            None if value["keeps_budget"] is None else bool(value["keeps_budget"]),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One range of units kept in float while all else is INT8: its own time and error against all
    INT8, the time relative to it, the error as a share of what all INT8 adds to float."""

    first: int
    last: int
    cost: Cost
    error: float

    def to_json(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "last": self.last,
            "cost": self.cost.to_json(),
            "error": self.error,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Part:
        return Part(
            int(value["first"]),
            int(value["last"]),
            Cost.from_json(value["cost"]),
            float(value["error"]),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """``points``: the front, the fastest first; ``taken``: which of them, ``why`` in words.
    ``additivity``: the errors of single units added up, over the error of all together (1: they
    add), None: not all units were measured. ``complete``: the time sufficed for all parts."""

    points: tuple[Point, ...]
    taken: int
    why: str
    max_drop: float
    evidence: str
    parts: tuple[Part, ...]
    additivity: float | None
    complete: bool
    seconds: float

    @property
    def point(self) -> Point:
        return self.points[self.taken]

    def to_json(self) -> dict[str, Any]:
        return {
            "points": [p.to_json() for p in self.points],
            "taken": self.taken,
            "why": self.why,
            "max_drop": self.max_drop,
            "evidence": self.evidence,
            "parts": [p.to_json() for p in self.parts],
            "additivity": self.additivity,
            "complete": self.complete,
            "seconds": round(self.seconds, 1),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any], units: int) -> Outcome:
        points = tuple(Point.from_json(p, units) for p in value["points"])
        taken = int(value["taken"])
        if not 0 <= taken < len(points):
            raise ValueError(f"point {taken} of {len(points)}")
        share = value["additivity"]
        return Outcome(
            points,
            taken,
            str(value["why"]),
            float(value["max_drop"]),
            str(value["evidence"]),
            tuple(Part.from_json(p) for p in value["parts"]),
            None if share is None else float(share),
            bool(value["complete"]),
            float(value["seconds"]),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """An outcome with what it takes to build any of its points again. ``people``: the identities
    whose queries accuracy was judged on."""

    target: str
    units: tuple[Unit, ...]
    people: tuple[int, ...]
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "target": self.target,
            "people": list(self.people),
            "units": [{"name": u.name, "nodes": list(u.nodes), "macs": u.macs} for u in self.units],
            **self.outcome.to_json(),
        }

    @staticmethod
    def load(path: Path) -> Record:
        """Raises InputError on a file that is no record of a search."""
        value = read_json(path)
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise InputError(f"{path} is no record of a search that this edgereid reads.")
        try:
            units = tuple(
                Unit(str(u["name"]), tuple(map(str, u["nodes"])), int(u["macs"]))
                for u in value["units"]
            )
            people = tuple(int(pid) for pid in value["people"])
            outcome = Outcome.from_json(value, len(units))
            return Record(str(value["target"]), units, people, outcome)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} cannot be read: {error!r}.") from error


def pareto(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that no other beats or equals in both time and embedding error, the fastest first.
    Of equals the one that keeps least stays."""
    best = math.inf
    found = []
    for point in sorted(
        points, key=lambda p: (p.cost.value, p.agreement.error, len(p.choice.kept), p.choice.key)
    ):
        if point.agreement.error < best:
            best = point.agreement.error
            found.append(point)
    return tuple(found)
