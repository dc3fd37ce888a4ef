"""What a person reads of the gate: text for a terminal, Markdown for a CI service's summary."""

from __future__ import annotations

from collections.abc import Callable

from edgereid.bench.gate.result import FAIL, INFO, PASS, UNDECIDED, GateResult, Measure

_HEAD = ("what", "reference", "candidate", "lost", "bounds", "budget", "verdict")
_MARKS = {PASS: "PASS", FAIL: "FAIL", UNDECIDED: "UNDECIDED", INFO: "-"}


def text(result: GateResult) -> str:
    """Who was judged on what, a row a measure, a line a check, the verdict."""
    from tabulate import tabulate

    table = tabulate(
        [_cells(m) for m in result.measures],
        headers=_HEAD,
        colalign=("left", *("right",) * 5, "left"),
        disable_numparse=True,
    )
    checks = [f"{_MARKS[c.verdict]:>9}  {c.name}: {c.explanation}" for c in result.checks]
    lines = [*_who(result), "", table, "", *checks, "", *_needed(result), verdict_line(result)]
    return "\n".join(lines) + "\n"


def markdown(result: GateResult) -> str:
    """The same as GitHub-flavoured Markdown."""
    who, *rest = _who(result)
    lines = [f"## Accuracy gate: {_MARKS[result.verdict]}", "", f"{_escaped(who)}  "]
    lines += [f"{_escaped(line)}  " for line in rest]
    lines += ["", _row(_HEAD), _row(("---", *("---:",) * 5, "---"))]
    lines += [_row(_cells(m)) for m in result.measures]
    lines += ["", _row(("check", "verdict", "")), _row(("---",) * 3)]
    lines += [_row((c.name, _MARKS[c.verdict], c.explanation)) for c in result.checks]
    lines += ["", *(f"- {_escaped(line)}" for line in _needed(result)), ""]
    return "\n".join([*lines, f"**{_escaped(verdict_line(result))}**"]) + "\n"


def verdict_line(result: GateResult) -> str:
    """The verdict and its reason in one sentence."""
    by = [m.name for m in result.measures if m.verdict == result.verdict]
    by += [c.name for c in result.checks if c.verdict == result.verdict]
    words: dict[str, Callable[[], str]] = {
        PASS: lambda: "PASS: every loss is within its budget",
        FAIL: lambda: f"FAIL: {', '.join(by)}",
        UNDECIDED: lambda: f"UNDECIDED: not enough queries to tell: {', '.join(by)}",
    }
    return f"{words[result.verdict]()} (exit code {result.exit_code})."


def _who(result: GateResult) -> list[str]:
    data, run = result.dataset, result.images_run
    return [
        f"candidate: {result.candidate.label} ({result.candidate.file})",
        f"reference: {result.reference.label} ({result.reference.file})",
        f"{data.name}: {data.queries:,} queries of {data.identities:,} people "
        f"({data.dropped_queries:,} dropped: no match in another camera), "
        f"{data.gallery:,} gallery images",
        f"images run: {run['reference']:,} by the reference, {run['candidate']:,} by the candidate "
        f"(the others came from the cache); {result.seconds:.0f} s",
    ]


def _cells(m: Measure) -> tuple[str, ...]:
    if m.unit == "points":
        both = (f"{100 * m.reference:.2f}", f"{100 * m.candidate:.2f}")
    else:
        both = (f"{m.reference:.2f} ms", f"{m.candidate:.2f} ms")
    return (
        m.name,
        *both,
        _signed(m.drop, m.unit),
        f"{_bound(m.low, m)} to {_bound(m.high, m)}",
        f"{m.budget:g}",
        _MARKS[m.verdict],
    )


def _signed(value: float, unit: str) -> str:
    text = f"{value:.2f}"
    return f"{'0.00' if text == '-0.00' else text}{'' if unit == 'points' else unit}"


def _bound(value: float | None, m: Measure) -> str:
    return "?" if value is None else _signed(value, m.unit)


def _needed(result: GateResult) -> list[str]:
    """What would settle each undecided measure."""
    lines = []
    for m in result.measures:
        if m.verdict != UNDECIDED:
            continue
        if m.unit != "points":
            lines.append(f"{m.name}: measure longer, on a quiet machine.")
        elif m.needed_identities is None:
            lines.append(f"{m.name}: the loss is too near the budget for any number to settle it.")
        else:
            have = result.dataset.identities
            lines.append(
                f"{m.name}: {m.needed_identities:,} query identities would settle it (there are "
                f"{have:,}), if loss and spread stay as they are."
            )
    return lines


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """Names come from users' files: nothing in them may become markup."""
    for mark in "\\`*_{}[]<>|#!":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else f"&{'lg'[mark == '>']}t;")
    return " ".join(text.split())
