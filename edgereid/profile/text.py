"""Profiles as text: one network stage by stage, or all networks beside their papers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from tabulate import tabulate

from edgereid.models.registry import Published
from edgereid.profile.counting import may_multiply
from edgereid.profile.memory import Peak
from edgereid.profile.network import CONVENTIONS, Profile
from edgereid.profile.survey import Deviation, SurveyRow

NOTHING = "-"
ALL_HEADERS = (
    "network",
    "input",
    "parameters",
    "paper",
    "deviation",
    "MACs",
    "paper",
    "deviation",
    "activations",
    "peak memory",
)
TITLES = {"macs": "convention", "activations": "activations", "peak_memory": "peak memory"}
LEGEND = (
    '"-" before a name: an ablation. A deviation without "*" is the rounding of what is printed; '
    'one with "*" is explained above.'
)


def one(result: Profile) -> str:
    """The per-stage table, the totals beside the paper's, and the conventions."""
    published = result.published
    outputs = {} if published is None else published.outputs
    rows = [
        [
            s.name,
            size(s.output),
            size(outputs.get(s.name, ())),
            f"{s.parameters:,}",
            f"{s.macs:,}",
            f"{s.activations:,}",
        ]
        for s in result.stages
    ]
    totals = (result.parameters, result.macs, result.activations)
    rows.append(["total", "", "", *(f"{n:,}" for n in totals)])
    if published is not None:
        theirs = (published.parameters, published.macs, None)
        rows.append(["paper", "", "", *map(_rounded, theirs)])
        rows.append(["deviation", "", "", *map(_percent, totals, theirs)])
    table = tabulate(
        rows,
        headers=["stage", "output", "paper's", "parameters", "MACs", "activations"],
        colalign=("left", "left", "left", "right", "right", "right"),
        disable_numparse=True,
    )
    lines = [
        f"{result.network}, input {size(result.input)}",
        table,
        f"peak activation memory: {_peak(result.peak)}.",
        *_conventions(),
        f"fvcore's own total, which adds batch norm: {result.fvcore_total:,}.",
        *_origin(published),
        *_unsupported([result]),
    ]
    return "\n".join(lines) + "\n"


def every(rows: Sequence[SurveyRow]) -> str:
    """All networks in one table, a block a paper; below it what differs and why, per paper."""
    blocks = [list(block) for _, block in groupby(rows, key=lambda row: row.paper)]
    cells: list[list[str]] = []
    for block in blocks:
        cells += [[""] * len(ALL_HEADERS)] if cells else []
        cells += [_cells(row) for row in block]
    right = ["right"] * (len(ALL_HEADERS) - 2)
    table = tabulate(
        cells, headers=ALL_HEADERS, colalign=("left", "left", *right), disable_numparse=True
    )
    lines = [table, ""]
    for block in blocks:
        lines += [block[0].paper + ":", *(f"  {line}" for line in _notes(block))]
    lines += ["", LEGEND, *_conventions()]
    return "\n".join(lines) + "\n"


def _cells(row: SurveyRow) -> list[str]:
    found = row.profile
    return [
        found.network if row.main else f"- {found.network}",
        size(found.input[1:]),
        f"{found.parameters:,}",
        *_beside(row.parameters),
        f"{found.macs:,}",
        *_beside(row.macs),
        f"{found.activations:,}",
        mebibytes(found.peak.bytes),
    ]


def _beside(deviation: Deviation | None) -> tuple[str, str]:
    """The paper's figure and how far ours is from it."""
    if deviation is None:
        return "", ""
    mark = " " if deviation.as_printed else "*"
    return _rounded(deviation.paper), f"{deviation.percent:+.2f} %{mark}"


def _notes(block: Sequence[SurveyRow]) -> list[str]:
    """Where the figures of a paper stand, why ours differ, and what is not counted."""
    sources: dict[str, list[str]] = {}
    reasons: dict[str, list[str]] = {}
    for row in block:
        published = row.profile.published
        if published is None:
            continue
        sources.setdefault(published.source, []).append(row.profile.network)
        wrong = any(d is not None and not d.as_printed for d in (row.parameters, row.macs))
        if published.deviation or wrong:
            reason = published.deviation or "why ours differs is not known"
            reasons.setdefault(reason, []).append(row.profile.network)
    pairs = (*sources.items(), *reasons.items())
    lines = [f"{', '.join(networks)}: {text}." for text, networks in pairs]
    return lines + _unsupported([row.profile for row in block])


def _unsupported(profiles: Iterable[Profile]) -> list[str]:
    """The operators that fvcore does not count; a warning for those that could multiply and add."""
    found: Counter[str] = Counter()
    for profile in profiles:
        found |= Counter(profile.unsupported)
    suspects = may_multiply(found)
    harmless = [op for op in sorted(found) if op not in suspects]
    lines = []
    if harmless:
        uncounted = ", ".join(_short(op) for op in harmless)
        lines.append(f"operators fvcore does not count (no multiply-adds): {uncounted}.")
    if suspects:
        named = ", ".join(_short(op) for op in suspects)
        lines.append(f"UNSUPPORTED operators, whose multiply-adds, if any, are missing: {named}.")
    return lines


def _conventions() -> list[str]:
    return [f"{TITLES[name]}: {text}." for name, text in CONVENTIONS.items()]


def _short(operator: str) -> str:
    return operator.removeprefix("aten::")


def _origin(published: Published | None) -> list[str]:
    """Where the paper prints its figures, and why ours differ."""
    if published is None:
        return []
    lines = [f"paper: {published.source}."]
    return [*lines, f"deviation: {published.deviation}."] if published.deviation else lines


def _peak(found: Peak) -> str:
    where = f" in {found.stage}" if found.stage else ""
    return f"{mebibytes(found.bytes)} ({found.bytes:,} bytes), at {found.operator}{where}"


def mebibytes(count: int) -> str:
    """Bytes in MiB."""
    return f"{count / 2**20:.2f} MiB"


def size(shape: Sequence[int]) -> str:
    """A shape as 256x128."""
    return "x".join(map(str, shape))


def _rounded(value: float | None) -> str:
    return NOTHING if value is None else f"{value / 1e6:,.1f} M"


def _percent(ours: int, paper: float | None) -> str:
    return NOTHING if paper is None else f"{100 * (ours - paper) / paper:+.2f} %"
