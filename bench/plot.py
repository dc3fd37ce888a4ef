"""The drawings of the page: accuracy against latency, or latency alone."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgereid.bench.labels import Point, place
from edgereid.bench.result import BenchResult, Row
from edgereid.bench.svg import BAND, INK, OTHER_RUNTIME, PAPER, RUNTIME_COLOURS, SOFT, STYLE, inline
from edgereid.bench.verdict import Verdict
from edgereid.bench.wording import times

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

MARKERS = {"f32": "o", "bf16": "s", "f16": "D", "int8": "^"}
MAX_COLUMNS = 2
PANEL = (5.8, 4.3)  # inches
MIN_SPAN = 1.5  # points of mAP: a smaller axis would make noise look like a difference


def draw(result: BenchResult, verdict: Verdict) -> str:
    """The main drawing as inline SVG: with accuracy where it was measured."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        if result.dataset is not None:
            return inline(_front(result, verdict), _title(result, "accuracy against latency"))
        return inline(_speed(result), _title(result, "latency"))


def _title(result: BenchResult, what: str) -> str:
    names = ", ".join(row.label for row in result.rows)
    return html.escape(f"{what} of {names}")


def _panels(count: int, height: float, share_y: bool) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(count, MAX_COLUMNS)
    rows = -(-count // columns)
    size = (PANEL[0] * max(columns, 1.4), height * rows)
    figure = Figure(figsize=size, dpi=72, layout="constrained")  # 72: SVG's own unit is the point
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharey=share_y, squeeze=False)
    axes = list(grid.flat)
    for extra in axes[count:]:
        extra.set_visible(False)
    return figure, axes[:count]


def _colour(row: Row) -> str:
    return RUNTIME_COLOURS.get(row.runtime, OTHER_RUNTIME)


def _latency_axis(axes: Axes, values: Sequence[float], unit: str) -> None:
    """A logarithmic axis with plain numbers at 1, 2, 5, 10 ..., some room at both ends."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.35, max(values) * 1.6)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0), numticks=30))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel(f"latency p50, ms a {unit}, logarithmic")
    axes.grid(axis="x", alpha=0.6)
    axes.set_axisbelow(True)


# --- accuracy against latency -------------------------------------------------------------------


def _front(result: BenchResult, verdict: Verdict) -> Figure:
    figure, panels = _panels(len(result.batches), PANEL[1], share_y=True)
    low, high = _accuracy_limits(result)
    for axes, batch in zip(panels, result.batches, strict=True):
        rows = [r for r in result.rows if batch in r.latency and r.accuracy is not None]
        axes.set_title(f"batch {batch}", loc="left", fontweight="bold", fontsize=11)
        axes.set_ylim(low, high)
        _latency_axis(axes, [_x(r, batch) for r in rows], "batch" if batch > 1 else "crop")
        axes.grid(axis="y", alpha=0.6)
        axes.tick_params(length=0)
        _pareto(axes, rows, batch)
        for row in rows:
            _draw_point(axes, row, batch)
    panels[0].set_ylabel("mAP, points")
    budgets = [_budget(axes, result) for axes in panels]
    figure.canvas.draw()
    figure.set_layout_engine("none")  # labels come where there is room, and move nothing
    for axes, batch, boxes in zip(panels, result.batches, budgets, strict=True):
        rows = [r for r in result.rows if batch in r.latency and r.accuracy is not None]
        bars = [_bar(axes, r, batch) for r in rows if r.drop is not None and not r.is_reference]
        place(axes, [_point(r, batch, verdict) for r in rows], [*boxes, *bars])
    return figure


def _x(row: Row, batch: int) -> float:
    return row.latency[batch].summary.p50_ms


def _y(row: Row) -> float:
    assert row.accuracy is not None
    return 100 * row.accuracy.mean_ap


def _point(row: Row, batch: int, verdict: Verdict) -> Point:
    ratio = row.latency[batch].ratio
    speed = "" if ratio is None else f"  {times(ratio)}"
    if row.is_reference:
        speed = ", reference"
    recommended = batch in verdict.standings[row.key].ship_at
    return Point(_x(row, batch), _y(row), row.label + speed, recommended)


def _accuracy_limits(result: BenchResult) -> tuple[float, float]:
    """Room for every point, its interval and every budget line."""
    values = []
    for row in result.rows:
        if row.accuracy is not None:
            values.append(_y(row))
            if row.is_reference:
                values.append(_y(row) - result.max_map_drop)
            elif row.drop is not None:
                values += _interval(row)
    low, high = min(values), max(values)
    missing = max(0.0, MIN_SPAN - (high - low)) / 2
    margin = 0.22 * max(high - low, MIN_SPAN)
    return low - missing - margin, high + missing + margin


def _interval(row: Row) -> tuple[float, float]:
    """mAP in points at both ends of the interval of the change against the reference."""
    assert row.drop is not None
    reference = _y(row) + row.drop.points
    return reference - row.drop.high, reference - row.drop.low


def _bar(axes: Axes, row: Row, batch: int) -> Bbox:
    """The interval's line on the drawing, for labels to keep off."""
    from matplotlib.transforms import Bbox

    x = _x(row, batch)
    (left, low), (_, high) = axes.transData.transform([(x, y) for y in _interval(row)])
    return Bbox.from_extents(left - 2, low, left + 2, high)


def _draw_point(axes: Axes, row: Row, batch: int) -> None:
    x, y, colour = _x(row, batch), _y(row), _colour(row)
    if row.drop is not None and not row.is_reference:
        axes.vlines(x, *_interval(row), color=colour, alpha=0.55, lw=1.6)
    axes.plot(
        x,
        y,
        marker=MARKERS.get(row.precision, "v"),
        markersize=8.5,
        color=colour,
        markeredgecolor=PAPER,
        markeredgewidth=1.0,
        linestyle="none",
        zorder=4,
    )


def _pareto(axes: Axes, rows: Sequence[Row], batch: int) -> None:
    """The rows that no other row beats in both: a stair from fast to accurate."""
    front: list[tuple[float, float]] = []
    for x, y in sorted((_x(r, batch), -_y(r)) for r in rows):
        if not front or -y > front[-1][1]:
            front.append((x, -y))
    if len(front) > 1:
        axes.step(*zip(*front, strict=True), where="post", color=SOFT, lw=1.0, alpha=0.7, zorder=2)


def _budget(axes: Axes, result: BenchResult) -> list[Bbox]:
    """Shade what is out of budget; with several references only their lines are drawn."""
    lines = {_y(r) - result.max_map_drop for r in result.rows if r.is_reference and r.accuracy}
    for y in lines:
        axes.axhline(y, color=INK, lw=1.0, ls=(0, (4, 3)), zorder=1)
    if len(lines) != 1:
        return []
    (y,) = lines
    axes.axhspan(axes.get_ylim()[0], y, color=BAND, zorder=0, lw=0)
    note = axes.annotate(
        f"out of budget: more than {result.max_map_drop:g} points below float",
        (0.012, y),
        xycoords=("axes fraction", "data"),
        xytext=(0, -10),
        textcoords="offset points",
        fontsize=8.5,
        color=SOFT,
        va="center",
    )
    return [note.get_window_extent()]


# --- latency alone ------------------------------------------------------------------------------


def _speed(result: BenchResult) -> Figure:
    """One line a row: p50, and p90 where the sample supports it."""
    height = 1.2 + 0.34 * len(result.rows)
    figure, panels = _panels(len(result.batches), height, share_y=True)
    for axes, batch in zip(panels, result.batches, strict=True):
        axes.set_title(f"batch {batch}", loc="left", fontweight="bold", fontsize=11)
        values = []
        for index, row in enumerate(result.rows):
            if batch not in row.latency:
                continue
            summary = row.latency[batch].summary
            values += [summary.p50_ms, summary.tail_ms.get(90, summary.p50_ms)]
            axes.plot(values[-2:], [index, index], color=_colour(row), lw=2, alpha=0.6)
            axes.plot(summary.p50_ms, index, MARKERS.get(row.precision, "v"), color=_colour(row))
        _latency_axis(axes, values, "batch" if batch > 1 else "crop")
        axes.tick_params(length=0)
    panels[0].set_yticks(range(len(result.rows)), [row.label for row in result.rows])
    panels[0].set_ylim(len(result.rows) - 0.4, -0.6)
    return figure
