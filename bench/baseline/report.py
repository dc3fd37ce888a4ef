"""A comparison as text."""

from __future__ import annotations

from edgereid.bench.baseline.compare import Comparison
from edgereid.bench.baseline.findings import BETTER, UNKNOWN, WORSE, Finding

_HEADERS = (
    "engine",
    "measure",
    "before",
    "now",
    "change",
    "95 % interval",
    "found from",
    "runs",
    "outcome",
)


def text(comparison: Comparison) -> str:
    """Table, notes, and a last line with the verdict."""
    lines = [f"machine {comparison.machine} ({comparison.cpu})"]
    if comparison.commits:
        lines.append(f"compared with runs of {_commits(comparison.commits)}")
    if comparison.findings:
        lines += ["", _table(comparison)]
    notes = [f"{f.engine}, {f.measure}: {f.why}" for f in comparison.findings if f.why]
    lines += ["", *(f"- {note}" for note in dict.fromkeys((*notes, *comparison.notes)))]
    return "\n".join([*lines, "", verdict_line(comparison)]) + "\n"


def verdict_line(comparison: Comparison) -> str:
    """One sentence that says what to make of it."""
    worse, better = comparison.of(WORSE), comparison.of(BETTER)
    if worse:
        also = f" Better: {_listed(better)}." if better else ""
        return f"WORSE beyond noise: {_listed(worse)}.{also}"
    if better:
        return f"BETTER beyond noise: {_listed(better)}. Nothing is worse beyond noise."
    unknown = len(comparison.of(UNKNOWN))
    judged = len(comparison.findings) - unknown
    if not judged:
        return "NOT KNOWN: there is nothing yet to judge a change by; save more runs."
    rest = f"; {unknown} not known yet" if unknown else ""
    return f"NO CHANGE beyond noise: {judged} comparisons{rest}."


def _commits(commits: tuple[str, ...]) -> str:
    shown = ", ".join(name[:12] for name in commits[:3])
    more = f" and {len(commits) - 3} other commits" if len(commits) > 3 else ""
    return f"{shown}{more}"


def _listed(findings: list[Finding]) -> str:
    return "; ".join(f"{f.engine}, {f.measure}: {_change(f)}" for f in findings)


def _change(finding: Finding) -> str:
    if finding.unit == "points":
        return f"{_signed(finding.change, 2)} points"
    return f"{_signed(finding.change, 1)} %"


def _signed(value: float, decimals: int) -> str:
    """With its sign; a zero has none."""
    rounded = round(value, decimals)
    return f"{rounded:+.{decimals}f}" if rounded else f"{0:.{decimals}f}"


def _level(finding: Finding, value: float) -> str:
    return f"{value:.2f}" if finding.unit == "points" else f"{value:.2f}x"


def _interval(finding: Finding) -> str:
    if finding.low is None or finding.high is None:
        return "-"
    decimals = 2 if finding.unit == "points" else 1
    return f"{_signed(finding.low, decimals)} to {_signed(finding.high, decimals)}"


def _table(comparison: Comparison) -> str:
    from tabulate import tabulate

    rows = [
        (
            f.engine,
            f.measure,
            _level(f, f.before),
            _level(f, f.now),
            _change(f),
            _interval(f),
            "-" if f.found_from is None else f"{f.found_from:+.1f} %",
            str(f.runs),
            f.outcome,
        )
        for f in comparison.findings
    ]
    align = ("left", "left", *["right"] * 6, "left")
    table: str = tabulate(rows, headers=_HEADERS, colalign=align, disable_numparse=True)
    return table
