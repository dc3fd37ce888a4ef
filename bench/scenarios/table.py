"""The section on scenarios, as the terminal shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edgereid.bench.intervals import Interval
from edgereid.bench.scenarios.options import MULTI_STREAM, OFFLINE, SERVER, SINGLE_STREAM, START
from edgereid.bench.scenarios.result import (
    RowScenarios,
    Scenarios,
    Server,
    Stream,
    Throughput,
    Trial,
)
from edgereid.bench.stats import Ratio, samples_needed
from edgereid.bench.wording import NOTHING, milliseconds, times, times_with_interval

Table = list[list[str]]


def _tabulate(headers: Sequence[str], rows: Table, texts: int = 1) -> str:
    from tabulate import tabulate

    alignment = ["left" if i < texts else "right" for i in range(len(headers))]
    table: str = tabulate(rows, headers=headers, colalign=alignment, disable_numparse=True)
    return table


def span(low: float | None, high: float | None, form: Callable[[float], str]) -> str:
    """ "1.2 to 1.4"; a limit that the sample does not support is a question mark."""
    return " to ".join("?" if limit is None else form(limit) for limit in (low, high))


def _with_span(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return NOTHING
    if interval is None:
        return milliseconds(value)
    return f"{milliseconds(value)} ({span(interval.low, interval.high, milliseconds)})"


def _speed(ratio: Ratio | None) -> str:
    if ratio is None:
        return NOTHING
    exact = ratio.low == ratio.high  # the reference itself
    return times(ratio) if exact else times_with_interval(ratio)


def _stream(rows: Sequence[tuple[RowScenarios, Stream]]) -> str:
    percentile = rows[0][1].percentile
    cells = []
    for row, stream in rows:
        s = stream.summary
        cells.append(
            [
                row.label,
                _with_span(s.p50_ms, s.intervals_ms.get(50)),
                _with_span(stream.value_ms, s.intervals_ms.get(percentile)),
                _speed(stream.ratio),
                f"{s.count:,}",
            ]
        )
    headers = ["engine", "p50 ms (95 %)", f"p{percentile} ms (95 %)", "speed (95 %)", "queries"]
    return _tabulate(headers, cells)


def _streams(scenarios: Scenarios, name: str, what: str, field: str) -> Iterator[str]:
    rows = [(row, s) for row in scenarios.rows if (s := getattr(row, field)) is not None]
    if name not in scenarios.names or not rows:
        return
    yield f"{name}: {what.format(rows[0][1].batch)}"
    yield _stream(rows)
    percentile = rows[0][1].percentile
    if any(s.value_ms is None for _, s in rows):
        yield (
            f"- p{percentile} needs {samples_needed(percentile):,} queries: raise --min-count and "
            "--max-time"
        )


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _throughput(t: Throughput) -> str:
    return f"{_rate(t.images_per_s)} ({span(t.low, t.high, _rate)})"


def _offline(scenarios: Scenarios) -> Iterator[str]:
    rows = [(row, o) for row in scenarios.rows if (o := row.offline) is not None]
    if not rows:
        return
    batches = sorted({b for _, o in rows for b in o.by_batch})
    cells = [
        [
            row.label,
            *(_throughput(o.by_batch[b]) if b in o.by_batch else NOTHING for b in batches),
            str(o.best) if o.best == o.enough else f"{o.best} ({o.enough} is as fast)",
        ]
        for row, o in rows
    ]
    yield f"{OFFLINE}: images/s (95 %) by batch size"
    yield _tabulate(["engine", *(f"batch {b}" for b in batches), "best batch"], cells)


def _checked(trial: Trial) -> str:
    """What the confirming run measured."""
    value = NOTHING if trial.quantile_ms is None else milliseconds(trial.quantile_ms)
    late = 100 * trial.late / trial.count
    return f"{value} ({span(trial.low_ms, trial.high_ms, milliseconds)}), {late:.2f} % late"


def _server_cells(label: str, server: Server) -> list[str]:
    rate = NOTHING if server.rate_per_s is None else _rate(server.rate_per_s)
    last = server.verification[-1] if server.verification else None
    return [
        label,
        rate,
        span(server.holds_at, server.breaks_at, _rate),
        NOTHING if last is None else _checked(last),
        NOTHING if last is None else f"{last.count:,}",
        NOTHING if last is None else f"{last.mean_batch:.2f}",
    ]


def _servers(scenarios: Scenarios) -> Iterator[str]:
    rows = [(row, s) for row in scenarios.rows if (s := row.server) is not None]
    if not rows:
        return
    first = rows[0][1]
    yield (
        f"{SERVER}: queries/s, arriving at random, of which {first.percentile} % are answered "
        f"within {first.bound_ms:g} ms; batches up to {first.max_batch}"
    )
    headers = ["engine", "queries/s", f"limits ({100 * first.confidence:g} %)"]
    headers += [f"confirmed: p{first.percentile} ms (95 %)", "queries", "mean batch"]
    yield _tabulate(headers, [_server_cells(row.label, s) for row, s in rows])
    if any(s.rate_per_s is None for _, s in rows):
        yield "- no rate: none held the bound within the trials; raise --server-time or the bound"


def _bytes(count: int | None) -> str:
    return NOTHING if count is None else f"{count / 1e6:,.0f}"


def _starts(scenarios: Scenarios) -> Iterator[str]:
    rows = [(row, s) for row in scenarios.rows if (s := row.start) is not None]
    if not rows:
        return
    cells = [
        [
            row.label,
            *map(milliseconds, (s.import_ms, s.load_ms, s.first_ms, s.steady_ms)),
            *map(_bytes, (s.process_bytes, s.engine_bytes, s.peak_bytes)),
        ]
        for row, s in rows
    ]
    yield f"{START}: medians of {rows[0][1].runs} processes; memory is what is resident"
    headers = ["engine", "runtime ms", "load ms", "first ms", "later ms"]
    yield _tabulate([*headers, "process MB", "engine +MB", "peak MB"], cells)


def _threads(scenarios: Scenarios) -> Iterator[str]:
    if not scenarios.threads:
        return
    cells = [
        [
            s.label,
            str(s.threads),
            str(s.batch),
            _with_span(s.summary.p50_ms, s.summary.intervals_ms.get(50)),
            _rate(s.summary.images_per_s),
            _speed(s.ratio),
        ]
        for s in scenarios.threads
    ]
    yield "threads: speed is relative to the fewest threads"
    yield _tabulate(["engine", "threads", "batch", "p50 ms (95 %)", "images/s", "speed"], cells)


def text(scenarios: Scenarios) -> str:
    """The section, ready to print; empty lines between the parts."""
    parts = [
        list(_streams(scenarios, SINGLE_STREAM, "one crop after the other", "single_stream")),
        list(_streams(scenarios, MULTI_STREAM, "frames of {} crops", "multi_stream")),
        list(_offline(scenarios)),
        list(_servers(scenarios)),
        list(_starts(scenarios)),
        list(_threads(scenarios)),
        [f"- left out: {x.label}: {x.reason.rstrip('.')}" for x in scenarios.left_out],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)
