"""What the doctor found: facts in sections, warnings, what is lacking and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgereid.bench.machine_files import Reading


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was looked at: its value in words, or ``None`` and why it is absent."""

    name: str
    value: str | None
    absent: str | None = None

    @classmethod
    def of(cls, name: str, reading: Reading, value: str | None = None) -> Fact:
        """A reading in words; ``value`` are those words when the reading has a value."""
        if reading.value is None:
            return cls(name, None, reading.absent)
        return cls(name, str(reading.value) if value is None else value)


@dataclass(frozen=True, slots=True)
class Section:
    """Facts that belong together."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do: why, and the exact commands in their order."""

    why: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """``purpose`` is what was asked for (None: nothing in particular); ``lacking`` is what it
    needs and this device lacks, a sentence each."""

    sections: tuple[Section, ...]
    warnings: tuple[str, ...]
    purpose: str | None
    lacking: tuple[str, ...]
    to_do: tuple[Task, ...]

    def to_json(self) -> dict[str, Any]:
        sections = {s.title: [asdict(f) for f in s.facts] for s in self.sections}
        return {
            "kind": "edgereid-doctor",
            "schema": 1,
            "sections": sections,
            "warnings": list(self.warnings),
            "for": self.purpose,
            "lacking": list(self.lacking),
            "to_do": [asdict(task) for task in self.to_do],
        }


def text(report: Report) -> str:
    """The report for a person."""
    lines = []
    for section in report.sections:
        lines.append(section.title)
        width = max((len(f.name) for f in section.facts), default=0)
        for fact in section.facts:
            said = f"- {fact.absent}" if fact.value is None else fact.value
            lines.append(f"  {fact.name.ljust(width)}  {said}")
        lines.append("")
    lines += _list("warnings", report.warnings)
    if report.purpose is not None:
        lines += _list(
            f"lacking for {report.purpose}", report.lacking or ("nothing: everything is there",)
        )
    tasks = [line for t in report.to_do for line in (f"{t.why}:", *(f"  {c}" for c in t.commands))]
    lines += ["to do", *(f"  {line}" for line in tasks or ["nothing"])]
    return "\n".join(lines) + "\n"


def _list(title: str, sentences: tuple[str, ...]) -> list[str]:
    return [title, *(f"  - {s}" for s in sentences), ""] if sentences else []
