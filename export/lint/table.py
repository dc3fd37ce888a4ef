"""All rules, in the order of the report, and their table for ``docs/lint.md``."""

from __future__ import annotations

from edgereid.export.lint.finding import Rule
from edgereid.export.lint.graph_rules import GRAPH_RULES
from edgereid.export.lint.quantizer_rules import QUANTIZER_RULES
from edgereid.export.lint.targets import TARGETS

RULES: tuple[Rule, ...] = (*GRAPH_RULES, *QUANTIZER_RULES)


def markdown() -> str:
    """The table of rules as the documentation has it."""
    head = ["rule", "looks at", "allowed", "what to do", "why (source)", *TARGETS]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for r in RULES:
        severities = [r.severity.get(name, "") for name in TARGETS]
        cells = [f"`{r.id}`", r.checks, r.allowed, r.do, f"{r.why} ({r.source})", *severities]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
