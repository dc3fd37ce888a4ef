"""The table of a result: the same cells for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgereid.bench.energy.table import energy_text
from edgereid.bench.result import BenchResult, Latency, Row
from edgereid.bench.scenarios.table import text as scenarios_text
from edgereid.bench.verdict import Verdict
from edgereid.bench.wording import NOTHING, change, interval, megabytes, milliseconds, points, times


@dataclass(frozen=True, slots=True)
class Column:
    """A column: two header lines, whether its cells are numbers, and a row's cell."""

    group: str
    name: str
    numeric: bool
    cell: Callable[[Row], str]


def _median_and_tail(latency: Latency | None) -> str:
    if latency is None:
        return NOTHING
    summary = latency.summary
    tail = milliseconds(summary.tail_ms[90]) if 90 in summary.tail_ms else NOTHING
    return f"{milliseconds(summary.p50_ms)} / {tail}"


def _speed(latency: Latency | None) -> str:
    return NOTHING if latency is None or latency.ratio is None else times(latency.ratio)


def _rate(latency: Latency | None) -> str:
    return NOTHING if latency is None else f"{latency.summary.images_per_s:,.0f}"


def _map(row: Row) -> str:
    return NOTHING if row.accuracy is None else points(row.accuracy.mean_ap)


def _rank1(row: Row) -> str:
    return NOTHING if row.accuracy is None else points(row.accuracy.rank1)


def _change(row: Row) -> str:
    if row.drop is None or row.is_reference:
        return NOTHING
    return f"{change(row.drop)} ({interval(row.drop)})"


def _timing_columns(batch: int, where: str, throughput: bool) -> list[Column]:
    """p50 / p90, speed and throughput at one batch size; ``where`` is a field of ``Row``."""

    def pick(row: Row) -> Latency | None:
        found: dict[int, Latency] = getattr(row, where)
        return found.get(batch)

    group = f"batch {batch}"
    columns = [
        Column(group, "ms p50 / p90", True, lambda row: _median_and_tail(pick(row))),
        Column(group, "speed", True, lambda row: _speed(pick(row))),
    ]
    if throughput and batch > 1:
        columns.append(Column(group, "images/s", True, lambda row: _rate(pick(row))))
    return columns


def main_columns(result: BenchResult, verdict: Verdict, throughput: bool) -> list[Column]:
    """Speed, size and accuracy of the engines alone, with the verdict."""
    batches = result.batches
    return [
        Column("", "engine", False, lambda row: row.label),
        Column("", "MB", True, lambda row: megabytes(row.bytes)),
        *(column for batch in batches for column in _timing_columns(batch, "latency", throughput)),
        Column("accuracy, points", "Rank-1", True, _rank1),
        Column("accuracy, points", "mAP", True, _map),
        Column("accuracy, points", "change (95 %)", True, _change),
        Column("", "verdict", False, lambda row: verdict.standings[row.key].text(batches)),
    ]


def end_to_end_columns(result: BenchResult, throughput: bool) -> list[Column]:
    """Files in, embeddings out."""
    return [
        Column("", "end to end", False, lambda row: row.label),
        *(c for batch in result.batches for c in _timing_columns(batch, "end_to_end", throughput)),
    ]


def preparation_words(result: BenchResult) -> str:
    """What decoding and the like cost alone, or nothing when it was not measured."""
    parts = [
        f"{milliseconds(latency.summary.p50_ms)} ms at batch {batch}"
        for batch, latency in sorted(result.preparation.items())
    ]
    return f"of which decode + resize + normalise: {', '.join(parts)} (p50)" if parts else ""


def render(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The table as text."""
    from tabulate import tabulate

    groups = [  # the heading of several columns stands over the first
        "" if i and columns[i - 1].group == column.group else column.group
        for i, column in enumerate(columns)
    ]
    table: str = tabulate(
        [[column.cell(row) for column in columns] for row in rows],
        headers=[f"{group}\n{column.name}" for group, column in zip(groups, columns, strict=True)],
        colalign=["right" if column.numeric else "left" for column in columns],
        disable_numparse=True,
    )
    return table


def text(result: BenchResult, verdict: Verdict, notes: Sequence[str]) -> str:
    """What the terminal shows: table, end to end, notes, verdict."""
    parts = [render(main_columns(result, verdict, throughput=False), result.rows)]
    measured = [row for row in result.rows if row.end_to_end]
    if measured:
        parts.append("")
        parts.append(render(end_to_end_columns(result, throughput=False), measured))
        parts.append(preparation_words(result))
    parts += ["", *(f"- {note}" for note in notes)]
    if result.scenarios is not None:
        parts += ["", scenarios_text(result.scenarios)]
    if result.energy is not None:
        parts += ["", energy_text(result.energy)]
    parts += ["", *verdict.sentences]
    return "\n".join(parts) + "\n"
