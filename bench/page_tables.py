"""The tables of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from edgereid.bench.machine import Reading, State
from edgereid.bench.result import BenchResult, Latency, Row
from edgereid.bench.standing import Standing
from edgereid.bench.stats import TAIL_PERCENTILES, samples_needed
from edgereid.bench.svg import RUNTIME_COLOURS
from edgereid.bench.table import Column
from edgereid.bench.verdict import Verdict
from edgereid.bench.wording import NOTHING, megabytes, milliseconds, times_with_interval


def _cell(tag: str, text: str, numeric: bool, extra: str = "") -> str:
    """A cell; ``text`` is escaped here, ``extra`` is markup of our own."""
    kind = ' class="number"' if numeric else ""
    return f"<{tag}{kind}>{extra}{escape(text)}</{tag}>"


def _assembled(head: str, lines: Sequence[str]) -> str:
    body = "".join(lines)
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _simple(names: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """A table of texts; all but the first columns are numbers."""
    head = "".join(_cell("th", name, i >= text_columns) for i, name in enumerate(names))
    lines = [
        f"<tr>{''.join(_cell('td', text, i >= text_columns) for i, text in enumerate(row))}</tr>"
        for row in rows
    ]
    return _assembled(f"<tr>{head}</tr>", lines)


def _dot(row: Row) -> str:
    colour = row.runtime if row.runtime in RUNTIME_COLOURS else "other"
    return f'<span class="dot" style="background: var(--{colour})"></span>'


def _row_class(standing: Standing) -> str:
    if standing.ship_at:
        return "ship"
    return "refuse" if standing.slow_at or standing.broken else ""


def table(columns: Sequence[Column], rows: Sequence[Row], verdict: Verdict) -> str:
    """A table of engines with a dot in the runtime's colour, coloured by the verdict."""
    over = "".join(
        f'<th class="over" colspan="{len(list(members))}">{escape(group)}</th>'
        for group, members in groupby(columns, key=lambda column: column.group)
    )
    names = "".join(_cell("th", column.name, column.numeric) for column in columns)
    lines = []
    for row in rows:
        first, *others = columns
        cells = _cell("td", first.cell(row), False, _dot(row)) + "".join(
            _cell("td", column.cell(row), column.numeric) for column in others
        )
        lines.append(f'<tr class="{_row_class(verdict.standings[row.key])}">{cells}</tr>')
    return _assembled(f"<tr>{over}</tr><tr>{names}</tr>", lines)


def statistics(result: BenchResult) -> str:
    """Count, percentiles, extremes, mean, spread and throughput of every engine and batch size."""
    tails = [f"p{p}" for p in TAIL_PERCENTILES]
    names = ["engine", "batch", "runs", "min", "p50", *tails, "max", "mean", "CV %", "images/s"]
    rows = [
        [row.label, str(batch), *_numbers(latency)]
        for batch in result.batches
        for row in result.rows
        for latency in [row.latency.get(batch)]
        if latency is not None
    ]
    rule = ", ".join(f"p{p} from {samples_needed(p):,} runs" for p in TAIL_PERCENTILES)
    return (
        f'<p class="soft">Milliseconds a batch, the engine alone. Nothing is trimmed; {rule}.</p>'
        + _simple([*names, "speed (95 %)"], rows)
    )


def _numbers(latency: Latency) -> list[str]:
    s = latency.summary
    tails = [milliseconds(s.tail_ms[p]) if p in s.tail_ms else NOTHING for p in TAIL_PERCENTILES]
    return [
        f"{s.count:,}",
        milliseconds(s.min_ms),
        milliseconds(s.p50_ms),
        *tails,
        milliseconds(s.max_ms),
        milliseconds(s.mean_ms),
        NOTHING if s.cv is None else f"{100 * s.cv:.1f}",
        f"{s.images_per_s:,.1f}",
        NOTHING if latency.ratio is None else times_with_interval(latency.ratio),
    ]


def engines(result: BenchResult) -> str:
    """File, version, threads and start-up cost of every engine."""
    names = ["engine", "file", "version", "threads", "MB", "load ms", "first run ms", "memory +MB"]
    rows = []
    for row in result.rows:
        growth = row.resident_growth_bytes
        rows.append(
            [
                row.label,
                row.file,
                row.version,
                str(row.threads),
                megabytes(row.bytes),
                milliseconds(row.load_ms),
                milliseconds(row.first_run_ms),
                NOTHING if growth is None else f"{growth / 1e6:.0f}",
            ]
        )
    return _simple(names, rows, text_columns=3)


def accuracy(result: BenchResult) -> str:
    """Every accuracy measure of every engine, in points."""
    names = ["engine", "Rank-1", "Rank-5", "Rank-10", "mAP", "mINP"]
    rows = []
    for row in result.rows:
        if (a := row.accuracy) is not None:
            shares = (a.rank1, a.rank5, a.rank10, a.mean_ap, a.mean_inp)
            rows.append([row.label, *(f"{100 * share:.2f}" for share in shares)])
    return _simple(names, rows)


def machine(result: BenchResult) -> str:
    """The machine, and its state before and after; what is absent says why."""
    items = [*_constant(result), *_states(result.before, result.after)]
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in items)
    return f"<dl>{body}</dl>"


def _reading(reading: Reading, unit: str = "") -> str:
    value = reading.value
    if value is None:
        return f"absent: {reading.absent}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:g}{unit}" for name, number in value.items())
    if isinstance(value, list):
        found = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in value]
        return f"{', '.join(dict.fromkeys(found))}{unit}"
    return f"{value:g}{unit}" if isinstance(value, float) else f"{value}{unit}"


def _gigabytes(reading: Reading) -> str:
    if reading.value is None:
        return f"absent: {reading.absent}"
    return f"{reading.value / 1e9:.1f} GB"


def _constant(result: BenchResult) -> Iterator[tuple[str, str]]:
    m = result.machine
    yield "processor", _reading(m.cpu)
    yield "features", _reading(m.features)
    yield "processors", f"{m.usable_cpus} usable of {m.logical_cpus}"
    yield "quota", _reading(m.cpu_quota)
    yield "governor", _reading(m.governor)
    yield "power mode", _reading(m.power_mode)
    yield "memory", _gigabytes(m.memory)
    yield "accelerator", _reading(m.accelerator)
    yield "system", f"{m.os}, {m.architecture}, Python {m.python}"
    installed = [f"{name} {version}" for name, version in m.packages.items() if version]
    yield "packages", ", ".join(installed)
    peak = result.peak_resident_bytes
    yield "peak memory", "absent" if peak is None else f"{peak / 1e6:,.0f} MB, all engines open"


def _states(before: State, after: State) -> Iterator[tuple[str, str]]:
    for name, first, last, unit in (
        ("clock", before.clocks, after.clocks, " MHz"),
        ("clock limit", before.clock_limits, after.clock_limits, " MHz"),
        ("device clock", before.device_clocks, after.device_clocks, " MHz"),
        ("throttled", before.throttled, after.throttled, ""),
        ("cooling", before.cooling, after.cooling, ""),
        ("temperature", before.temperatures, after.temperatures, " °C"),
        ("load", before.load, after.load, ""),
    ):
        if first.value is None:
            yield name, _reading(first)
        else:
            yield name, f"{_reading(first, unit)} before, {_reading(last, unit)} after"
    yield "free memory", f"{_gigabytes(before.memory_available)} before"
