"""Runs the rules over a model, and says what they found: for a person, or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from edgereid.export.lint.finding import ERROR, SEVERITIES, Finding, Rule, Violation
from edgereid.export.lint.table import RULES
from edgereid.export.lint.targets import Target
from edgereid.export.lint.view import View

SHOWN = 8  # places of a rule that the text lists


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, errors first; ``title`` names the target and its release."""

    file: str
    target: str
    title: str
    opset: int
    findings: tuple[Finding, ...]

    def of(self, severity: str) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == severity)

    @property
    def exit_code(self) -> int:
        """1 when the target cannot take the file as it is, else 0."""
        return 1 if self.of(ERROR) else 0

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "target": self.target,
            "release": self.title.removeprefix(self.target).strip() or None,
            "opset": self.opset,
            "counts": {s: len(self.of(s)) for s in SEVERITIES},
            "findings": [f.to_json() for f in self.findings],
        }


def lint(model: Any, target: Target, file: str = "the model") -> Report:
    """Hold an onnx.ModelProto against every rule of ``target``.

    Raises InputError when the graph contradicts itself, a constant is damaged, or the model names
    no operator set.
    """
    view = View(model)
    found = [
        _finding(rule, rule.severity[target.name], violation)
        for rule in RULES
        if target.name in rule.severity
        for violation in rule.check(view, target)
    ]
    found.sort(key=lambda f: SEVERITIES.index(f.severity))  # stable: the table's order within
    return Report(file, target.name, target.title, view.graph.opset, tuple(found))


def _finding(rule: Rule, severity: str, v: Violation) -> Finding:
    allowed = v.allowed or rule.allowed
    return Finding(
        rule.id, severity, v.node, v.tensor, v.got, allowed, rule.do, rule.why, rule.source
    )


def text(report: Report, *, everything: bool = False) -> str:
    """The findings by rule; ``everything``: all places of each, not the first few."""
    return "\n".join(_lines(report, everything)) + "\n"


def _lines(report: Report, everything: bool) -> Iterator[str]:
    counts = ", ".join(_plural(len(report.of(s)), s) for s in SEVERITIES)
    yield f"{report.file} for {report.title}, operator set {report.opset}: {counts}"
    for rule, group in groupby(report.findings, key=lambda f: f.rule):
        findings = list(group)
        first = findings[0]
        yield ""
        yield f"{first.severity}: {rule}, {_plural(len(findings), 'place')}"
        yield f"  {first.why} ({first.source})"
        yield f"  to do: {first.do}"
        shown = findings if everything else findings[:SHOWN]
        one = len({f.allowed for f in findings}) == 1
        if one:
            yield f"  allowed: {first.allowed}"
        yield from (f"    {_place(f)}{'' if one else f'; allowed: {f.allowed}'}" for f in shown)
        if len(findings) > len(shown):
            yield f"    and {len(findings) - len(shown)} more (--all)"


def _place(f: Finding) -> str:
    names = dict.fromkeys(n for n in (f.node, f.tensor) if n)  # a tensor may be named as its node
    where = ": ".join(names) or "the file"
    return f"{_printable(where)}: {_printable(f.got)}"


def _printable(text: str) -> str:
    """Names come from the file: no line breaks, no control characters."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= 160 else shown[:157] + "..."


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
