"""What a search needs of an engine under test; tests bring a simulated one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgereid.search.choice import Choice
from edgereid.search.measured import Agreement, Cost, Drop


@dataclass(frozen=True, slots=True)
class Effort:
    """How long engines take turns: seconds of each, rounds at least."""

    seconds: float
    rounds: int


GLANCE = Effort(0.4, 10)  # enough to find a per cent
THOROUGH = Effort(2.0, 30)  # what decisions rest on
LONG = Effort(6.0, 60)  # where that left them open


class Rig(Protocol):
    """Builds and measures the engine of a choice, on one runtime and machine."""

    @property
    def units(self) -> int:
        """How many units there are."""

    @property
    def arithmetics(self) -> tuple[str, ...]:
        """What float layers can run in here, "f32" first."""

    def race(self, choices: Sequence[Choice], effort: Effort) -> list[Cost]:
        """Time the engines in turns; each one's time relative to the first one's."""

    def agreement(self, choice: Choice) -> Agreement:
        """The engine's embeddings beside those of the float network in f32."""

    def drop(self, choice: Choice, level: float) -> Drop | None:
        """Loss in mAP on labelled images against the float network in f32, with the upper bound of
        error rate ``level``; None: there are no labels."""
