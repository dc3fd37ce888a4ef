"""What single units and whole ranges of them cost and gain, measured on the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgereid.search.choice import Choice, all_float, all_int8, keeping
from edgereid.search.journal import Journal
from edgereid.search.measured import Agreement, Cost
from edgereid.search.outcome import Part
from edgereid.search.rig import GLANCE, THOROUGH, Effort, Rig
from edgereid.search.tree import Change, Range

#: Engines that take turns with the one they are compared with.
GROUP = 5


@dataclass(frozen=True, slots=True)
class Measurer:
    """A rig whose every measurement is in the journal."""

    rig: Rig
    journal: Journal

    def race(self, name: str, choices: Sequence[Choice], effort: Effort) -> list[Cost]:
        """Costs relative to the first choice; ``name`` tells apart races of the same engines."""
        key = f"race {name} {' '.join(c.key for c in choices)}"

        def compute() -> list[dict[str, float]]:
            return [cost.to_json() for cost in self.rig.race(choices, effort)]

        return [Cost.from_json(value) for value in self.journal.recall(key, compute)]

    def agreement(self, choice: Choice) -> Agreement:
        def compute() -> dict[str, float]:
            return self.rig.agreement(choice).to_json()

        return Agreement.from_json(self.journal.recall(f"agreement {choice.key}", compute))


@dataclass(frozen=True, slots=True)
class Anchors:
    """All in float and all in INT8 for each arithmetic, timed against float in f32."""

    floats: dict[str, Cost]
    int8: dict[str, Cost]

    @property
    def best_float(self) -> str:
        """The arithmetic of the fastest float engine."""
        return min(self.floats, key=lambda a: self.floats[a].value)

    def arithmetic(self) -> str:
        """What the float layers of a mixed engine run in: what makes all INT8 clearly faster, else
        what makes float faster."""
        ordered = sorted(self.int8, key=lambda a: self.int8[a].value)
        if len(ordered) > 1 and self.int8[ordered[0]].high < self.int8[ordered[1]].low:
            return ordered[0]
        return self.best_float

    def float_over_int8(self, arithmetic: str) -> Cost:
        """The float engine's time relative to all INT8 in the same arithmetic."""
        a, b = self.floats[arithmetic], self.int8[arithmetic]
        return Cost(a.value / b.value, a.low / b.high, a.high / b.low, a.ms)


def anchors(measurer: Measurer) -> Anchors:
    """Time the corners of the space against each other."""
    rig = measurer.rig
    names = rig.arithmetics
    choices = [all_float(a, rig.units) for a in names] + [all_int8(a, rig.units) for a in names]
    costs = measurer.race("anchors", choices, THOROUGH)
    count = len(names)
    return Anchors(
        dict(zip(names, costs[:count], strict=True)), dict(zip(names, costs[count:], strict=True))
    )


def measure_group(
    measurer: Measurer, base: Choice, spans: Sequence[Range]
) -> dict[Range, tuple[Cost, Agreement]]:
    """Engines in which one range each is kept in float, taking turns with ``base``."""
    choices = [keeping(base, range(*span)) for span in spans]
    costs = measurer.race("parts", [base, *choices], GLANCE)[1:]
    return {
        span: (cost, measurer.agreement(choice))
        for span, cost, choice in zip(spans, costs, choices, strict=True)
    }


def groups_of(spans: Sequence[Range]) -> list[Sequence[Range]]:
    """The ranges in groups that are timed together."""
    return [spans[i : i + GROUP] for i in range(0, len(spans), GROUP)]


def change(cost: Cost, agreement: Agreement, base: Agreement) -> Change:
    """A range's measurements as the tree takes them."""
    return Change(
        error=agreement.error - base.error,
        time=cost.value - 1.0,
        doubt=max(cost.high - cost.value, cost.value - cost.low),
    )


def additivity(
    units: int, measured: dict[Range, Change], base: Agreement, floats: Agreement
) -> float | None:
    """Errors that single units add, together, over what all of them add at once: 1 when squared
    errors add up. None when a unit is missing or INT8 adds nothing."""
    whole = base.error - floats.error
    singles = [measured.get((i, i + 1)) for i in range(units)]
    known = [change.error for change in singles if change is not None]
    if len(known) < units or whole <= 0:
        return None
    return -sum(known) / whole


def part(span: Range, cost: Cost, agreement: Agreement, base: Agreement, whole: float) -> Part:
    """A range for the report; ``whole``: the error that INT8 adds everywhere."""
    share = (base.error - agreement.error) / whole if whole > 0 else 0.0
    return Part(*span, cost, share)
