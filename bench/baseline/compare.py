"""A result against the records kept before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgereid.bench.baseline.findings import (
    BETTER,
    LEVEL,
    UNKNOWN,
    WORSE,
    Finding,
    accuracy_findings,
    judged,
    latency_findings,
)
from edgereid.bench.baseline.record import Record
from edgereid.bench.baseline.store import Store
from edgereid.bench.codec import encode
from edgereid.errors import EXIT_BUDGET_BROKEN, InputError, UsageError

KIND = "edgereid-baseline-comparison"
LAST = 20


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """``against``: only records of this commit (its first characters do), None: of any;
    ``last``: the newest so many runs of an engine count; ``level``: of the whole comparison."""

    against: str | None = None
    last: int = LAST
    level: float = LEVEL

    def __post_init__(self) -> None:
        if self.last < 1:
            raise UsageError(f"--last {self.last}: at least 1 run is needed.")
        if not 0.5 <= self.level < 1:
            raise UsageError(f"--level {self.level}: from 0.5 to below 1 is allowed, as in 0.95.")


@dataclass(frozen=True, slots=True)
class Comparison:
    """``commits``: those compared with, the newest first; ``notes``: what was not compared, why."""

    machine: str
    cpu: str
    commits: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def of(self, outcome: str) -> list[Finding]:
        return [f for f in self.findings if f.outcome == outcome]

    @property
    def verdict(self) -> str:
        """ "worse", "better", "no change", or "not known": nothing could be judged."""
        for outcome in (WORSE, BETTER):
            if self.of(outcome):
                return outcome
        return UNKNOWN if len(self.of(UNKNOWN)) == len(self.findings) else "no change"

    @property
    def exit_code(self) -> int:
        return EXIT_BUDGET_BROKEN if self.of(WORSE) else 0

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "schema": 1,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            **encode(self),
        }


def compare(
    records: Sequence[Record], store: Store, options: CompareOptions = CompareOptions()
) -> Comparison:
    """Compare the records of one result with what ``store`` keeps of its engines on its machine.

    Raises InputError on a damaged store, UsageError when ``options.against`` is not there.
    """
    if not records:
        raise InputError("the result holds no engine: there is nothing to compare.")
    machine = records[0].machine
    histories = [_history(store, record, options) for record in records]
    if options.against is not None and not any(histories):
        raise UsageError(
            f"--against {options.against}: {store.folder} has no run of that commit on this "
            "machine with these engines."
        )
    findings: list[Finding] = []
    notes: list[str] = []
    for record, history in zip(records, histories, strict=True):
        if not history:
            notes.append(f"{record.engine.label}: no earlier run of it on this machine")
            continue
        findings += latency_findings(history, record) + _accuracy(history, record)
        notes += _latency_notes(history, record) + _accuracy_notes(history, record)
    newest = sorted((r for h in histories for r in h), key=lambda r: r.time, reverse=True)
    return Comparison(
        machine=machine,
        cpu=records[0].cpu,
        commits=tuple(dict.fromkeys(r.commit for r in newest)),
        findings=judged(findings, options.level),
        notes=(*notes, *_gone(records, store)),
    )


def _history(store: Store, record: Record, options: CompareOptions) -> list[Record]:
    """The runs that count, the oldest first: not this very run, not those before a restart."""
    found = store.history(record.machine, record.engine)
    restarts = [i for i, r in enumerate(found) if r.restart]
    found = found[restarts[-1] :] if restarts else found
    found = [r for r in found if r.created != record.created]
    if options.against is not None:
        found = [r for r in found if r.commit.startswith(options.against)]
    return found[-options.last :]


def _with_accuracy(history: Sequence[Record]) -> Record | None:
    return next((r for r in reversed(history) if r.retrieval is not None), None)


def _accuracy(history: Sequence[Record], record: Record) -> list[Finding]:
    """Against the newest run that measured accuracy: it is no noisy measure to average."""
    earlier = _with_accuracy(history)
    return [] if earlier is None else accuracy_findings(earlier, record)


def _accuracy_notes(history: Sequence[Record], record: Record) -> list[str]:
    earlier = _with_accuracy(history)
    if earlier is None or earlier.retrieval is None:
        return []
    if record.retrieval is None:
        return [f"{record.engine.label}: this result has no accuracy to compare (--data)"]
    if not earlier.retrieval.same_queries(record.retrieval):
        return [f"{record.engine.label}: accuracy was measured on other queries or otherwise"]
    return []


def _latency_notes(history: Sequence[Record], record: Record) -> list[str]:
    label = record.engine.label
    if record.reference is None:
        return [
            f"{label}: no speed to compare: no reference took turns with it, and absolute times "
            "of two runs are no comparison"
        ]
    now = record.reference.as_measured
    other = [r for r in history if r.reference is not None and r.reference.as_measured != now]
    if not other:
        return []
    was = other[-1].reference
    assert was is not None
    return [
        f"{label}: {len(other)} earlier runs stood beside another reference "
        f"({was.label} {was.version}, {was.bytes:,} bytes): their speed does not count"
    ]


def _gone(records: Sequence[Record], store: Store) -> list[str]:
    """Engines of the same bundles that were kept before and are not in this result."""
    groups = {r.engine.group for r in records if r.engine.group}
    present = {r.engine.digest for r in records}
    return [
        f"{engine.label} ({engine.file}) was measured before and is not in this result"
        for engine in store.engines(records[0].machine)
        if engine.group in groups and engine.digest not in present
    ]
