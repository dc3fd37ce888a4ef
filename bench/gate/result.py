"""What the gate found. Tables, Markdown and JUnit XML are views on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgereid.bench.codec import encode
from edgereid.evaluation.result import EngineFacts

KIND = "edgereid-gate"
SCHEMA = 1

PASS, FAIL, UNDECIDED, INFO = "pass", "fail", "undecided", "info"
#: The exit code of a verdict.
EXIT_CODES = {PASS: 0, FAIL: 1, UNDECIDED: 2}


@dataclass(frozen=True, slots=True)
class Measure:
    """A loss against its budget.

    ``name``: "mAP", "Rank-1", "mAP, mixed" (gallery of the reference, queries of the candidate),
    "Rank-1, mixed" or "latency ratio". ``reference`` and ``candidate``: what each engine reached
    (shares 0..1, milliseconds). ``drop``: what was lost, in ``unit``, positive: the candidate is
    worse (of latency: the ratio). ``low`` and ``high``: one-sided bounds of it, of error rates
    ``fail_level`` and ``pass_level`` (None: too few samples). ``needed_identities``: how many query
    identities would settle it if drop and spread stayed as they are; None: settled, or no number
    would.
    """

    name: str
    unit: str  # "points", or "x" of the latency ratio
    reference: float
    candidate: float
    drop: float
    low: float | None
    high: float | None
    budget: float
    pass_level: float
    fail_level: float
    verdict: str
    needed_identities: int | None = None
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A question with one answer. ``verdict`` "info": reported, not judged."""

    name: str
    verdict: str
    explanation: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What accuracy was measured on."""

    name: str
    queries: int  # with a match in another camera
    dropped_queries: int
    identities: int  # of those queries
    gallery: int


@dataclass(frozen=True, slots=True)
class GateResult:
    """Everything the gate found. ``seconds``: of the whole run; ``images_run``: by engine, for
    features the cache did not hold."""

    edgereid: str
    created: str
    options: dict[str, Any]
    candidate: EngineFacts
    reference: EngineFacts
    dataset: DatasetFacts
    protocol: str
    measures: tuple[Measure, ...]
    checks: tuple[Check, ...]
    images_run: dict[str, int]
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Fail when anything fails, else undecided when anything is, else pass."""
        found = {m.verdict for m in self.measures} | {c.verdict for c in self.checks}
        return next((v for v in (FAIL, UNDECIDED) if v in found), PASS)

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 2 undecided."""
        return EXIT_CODES[self.verdict]

    @property
    def needed_identities(self) -> int | None:
        """How many query identities would settle every undecided loss of accuracy; None when none
        is undecided, or when no number would settle one of them."""
        open_ones = [
            m.needed_identities
            for m in self.measures
            if m.verdict == UNDECIDED and m.unit == "points"
        ]
        known = [n for n in open_ones if n is not None]
        return max(known) if known and len(known) == len(open_ones) else None

    def measure(self, name: str) -> Measure:
        """The measure of that name. Raises KeyError when it was not taken."""
        return {m.name: m for m in self.measures}[name]

    def check(self, name: str) -> Check:
        """The check of that name. Raises KeyError when it was not made."""
        return {c.name: c for c in self.checks}[name]

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "needed_identities": self.needed_identities,
            **encode(self),
        }
