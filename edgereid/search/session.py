"""One search while it goes on: what was judged, through the journal."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgereid.progress import note
from edgereid.search.choice import Choice
from edgereid.search.journal import Journal
from edgereid.search.judge import keeps_budget, level
from edgereid.search.measured import Agreement, Drop
from edgereid.search.options import SearchOptions
from edgereid.search.outcome import Part
from edgereid.search.parts import Anchors, Measurer
from edgereid.search.rig import Rig
from edgereid.search.tree import Change
from edgereid.search.wording import drop_words, keeps_words

MAX_JUDGED = 6


@dataclass(slots=True)
class Session:
    """A search's state; ``judged``: whether a choice keeps the accuracy budget, and its loss."""

    rig: Rig
    options: SearchOptions
    journal: Journal
    judged: dict[Choice, tuple[bool, Drop | None]] = field(default_factory=dict)

    @property
    def measurer(self) -> Measurer:
        return Measurer(self.rig, self.journal)

    def judge(self, choice: Choice) -> bool:
        """Whether a choice keeps the accuracy budget; each one is judged once."""
        if choice not in self.judged:
            at = level(len(self.judged))

            def compute() -> dict[str, float] | None:
                drop = self.rig.drop(choice, at)
                return None if drop is None else drop.to_json()

            value = self.journal.recall(f"drop {at} {choice.key}", compute)
            drop = None if value is None else Drop.from_json(value)
            keeps = keeps_budget(drop, self.measurer.agreement(choice), self.options.max_drop)
            self.judged[choice] = keeps, drop
            found = keeps_words(keeps, drop, self.options.max_drop)
            note(f"{choice.label}: loss of mAP {drop_words(drop)}, budget: {found}")
        return self.judged[choice][0]

    def may_judge(self) -> bool:
        return len(self.judged) < MAX_JUDGED


@dataclass(frozen=True, slots=True)
class Measured:
    """The corners and parts, and what is predicted of them. ``base``: all INT8, from which changes
    count. ``predicted``: choices expected to beat the best float engine, the fastest first."""

    corners: Anchors
    base: Choice
    parts: tuple[Part, ...]
    predicted: tuple[Change, ...]
    errors: dict[str, Agreement]
    additivity: float | None
    complete: bool
    minutes: float
