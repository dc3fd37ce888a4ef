"""The roofline drawn: rate against intensity, both logarithmic; one panel for all engines, then one
for each engine that tells its steps."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgereid.bench.labels import Point, place
from edgereid.bench.plot import MARKERS
from edgereid.bench.roofline.bandwidth import CACHE
from edgereid.bench.roofline.result import EngineRoofline, Layer, RooflineResult
from edgereid.bench.roofline.text import giga
from edgereid.bench.svg import INK, OTHER_RUNTIME, PAPER, RUNTIME_COLOURS, SOFT, STYLE, inline
from edgereid.bench.wording import milliseconds
from edgereid.evaluation.targets import PRECISION_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

PANEL = (6.0, 4.2)  # inches
COLUMNS = 2
NAMED = 3  # the slowest steps of a panel carry their names
DRAWN_SHARE = 0.002  # of the time: smaller steps would only stretch the axes
_LARGEST = 1200.0  # area of a step that takes all the time, square points
_SMALLEST = 12.0


def check_drawing() -> None:
    """Raise ModuleNotFoundError now, not after a minute of measuring, without matplotlib."""
    import matplotlib  # noqa: F401


def draw(result: RooflineResult) -> str:
    """The drawing as inline SVG for a page, in the page's colours."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return inline(_figure(result), html.escape(_title(result)))


def _title(result: RooflineResult) -> str:
    return f"roofline of {', '.join(engine.label for engine in result.engines)}"


def _figure(result: RooflineResult) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    told = [engine for engine in result.engines if engine.plan is not None]
    rows = -(-(1 + len(told)) // COLUMNS)
    size = (PANEL[0] * COLUMNS, PANEL[1] * rows)
    figure = Figure(figsize=size, dpi=72, layout="constrained")  # 72: SVG's own unit is the point
    FigureCanvasAgg(figure)
    grid = list(figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).flat)
    for extra in grid[1 + len(told) :]:
        extra.set_visible(False)
    panels = grid[: 1 + len(told)]
    _limits(panels[0], result)
    for axes, name in zip(panels, ["engines", *map(_heading, told)], strict=True):
        _decorate(axes, name)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # labels come where there is room, and move nothing
    _engines(panels[0], result)
    for axes, engine in zip(panels[1:], told, strict=True):
        _steps(axes, result, engine)
    return figure


def _heading(engine: EngineRoofline) -> str:
    words = f"{engine.label}: {milliseconds(engine.p50_ms)} ms"
    if engine.at_roof_ms is None:
        return words
    return f"{words}, {milliseconds(engine.at_roof_ms)} at the roof"


def _drawn(engine: EngineRoofline) -> list[Layer]:
    """Steps that take time and do arithmetic: others have no place on logarithmic axes."""
    if engine.plan is None:
        return []
    least = DRAWN_SHARE * engine.plan.sum_ms
    return [
        layer
        for layer in engine.plan.layers
        if layer.standing is not None and layer.standing.rate > 0 and layer.ms >= least
    ]


def _limits(axes: Axes, result: RooflineResult) -> None:
    """Room for every point and for the highest roof; the same in all panels."""
    standings = [e.whole for e in result.engines if e.whole is not None and e.whole.rate > 0]
    standings += [x.standing for e in result.engines for x in _drawn(e) if x.standing is not None]
    across = [s.intensity for s in standings] or [1.0]
    up = [s.rate / 1e9 for s in standings] + [p.rate.best / 1e9 for p in result.peaks]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(across) / 1.6, max(across) * 2.2)
    axes.set_ylim(min(up or [1.0]) / 1.8, max(up or [1.0]) * 2.0)


def _decorate(axes: Axes, name: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_title(name, loc="left", fontweight="bold", fontsize=11)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0,), numticks=30))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.tick_params(length=0, labelbottom=True, labelleft=True)
    axes.set_xlabel("intensity, MACs a byte moved")
    axes.set_ylabel("rate, GMAC/s")
    axes.grid(alpha=0.6)
    axes.set_axisbelow(True)


def _roofs(
    axes: Axes, result: RooflineResult, precisions: set[str], levels: set[str]
) -> list[Bbox]:
    """Slopes of the bandwidths up to the peaks; those in use are strong. Gives their labels."""
    left, right = axes.get_xlim()
    peaks = {p.precision: p.rate.best / 1e9 for p in map(result.peak, MARKERS) if p is not None}
    bands = {b.level: b.rate.best / 1e9 for b in map(result.band, ("memory", CACHE)) if b}
    highest = max(peaks.values(), default=axes.get_ylim()[1])
    steepest = max(bands.values(), default=1.0)
    boxes = []
    for name, peak in peaks.items():
        strong = name in precisions
        _roof_line(axes, [peak / steepest, right], [peak, peak], strong)
        text = f"{PRECISION_NAMES.get(name, name)} {giga(peak * 1e9)} GMAC/s"
        boxes.append(_note(axes, text, (right, peak), (-4, 3), "right", strong, 0.0))
    for name, band in bands.items():
        strong = name in levels
        _roof_line(axes, [left, highest / band], [band * left, highest], strong)
        boxes.append(_slope_note(axes, name, band, highest, strong))
    return boxes


def _roof_line(axes: Axes, xs: Sequence[float], ys: Sequence[float], strong: bool) -> None:
    color, dashes = (INK, "solid") if strong else (SOFT, "dashed")
    axes.plot(xs, ys, color=color, ls=dashes, lw=1.2, alpha=0.8, zorder=1)


def _slope_note(axes: Axes, name: str, band: float, highest: float, strong: bool) -> Bbox:
    """A bandwidth's name along its slope, near its foot as far as the panel shows it."""
    low = max(axes.get_xlim()[0], axes.get_ylim()[0] / band)
    x = low * (highest / band / low) ** 0.08
    (x0, y0), (x1, y1) = axes.transData.transform([(x, band * x), (2 * x, 2 * band * x)])
    angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
    text = f"{name} {giga(band * 1e9)} GB/s"
    return _note(axes, text, (x, band * x), (-5, 5), "left", strong, angle)


def _note(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    align: str,
    strong: bool,
    angle: float,
) -> Bbox:
    note = axes.annotate(
        text,
        at,
        xytext=offset,
        textcoords="offset points",
        fontsize=8.5,
        color=INK if strong else SOFT,
        ha=align,
        va="bottom",
        rotation=angle,
        rotation_mode="anchor",
    )
    return note.get_window_extent()


def _colour(engine: EngineRoofline) -> str:
    return RUNTIME_COLOURS.get(engine.runtime, OTHER_RUNTIME)


def _engines(axes: Axes, result: RooflineResult) -> None:
    known = [e for e in result.engines if e.whole is not None and e.whole.rate > 0]
    boxes = _roofs(axes, result, {e.precision for e in known}, {e.level for e in known})
    points = []
    for engine in known:
        assert engine.whole is not None
        x, y = engine.whole.intensity, engine.whole.rate / 1e9
        marker = MARKERS.get(engine.precision, "v")
        axes.scatter([x], [y], s=70, marker=marker, color=_colour(engine), ec=PAPER, zorder=4)
        points.append(Point(x, y, engine.label))
    place(axes, points, boxes)
    _ground(axes)


def _ground(axes: Axes) -> None:
    """Words stand on the colour of the page, so that a line behind them does not strike them."""
    for note in axes.texts:
        note.set_bbox({"fc": PAPER, "ec": "none", "pad": 0.6, "alpha": 0.85})


def _steps(axes: Axes, result: RooflineResult, engine: EngineRoofline) -> None:
    layers = sorted(_drawn(engine), key=lambda layer: -layer.ms)
    boxes = _roofs(axes, result, {layer.precision for layer in layers}, {engine.level})
    total = engine.plan.sum_ms if engine.plan is not None else 1.0
    points = []
    for layer in layers:
        assert layer.standing is not None
        x, y = layer.standing.intensity, layer.standing.rate / 1e9
        marker = MARKERS.get(layer.precision, "v")
        area = max(_SMALLEST, _LARGEST * layer.ms / total)
        axes.scatter(
            [x], [y], s=area, marker=marker, color=_colour(engine), ec=PAPER, lw=0.5,
            alpha=0.75, zorder=3,
        )  # fmt: skip
        points.append(Point(x, y, layer.nodes[0] if layer.nodes else layer.name))
    place(axes, points[:NAMED], [*boxes, *(_mark(axes, point) for point in points[NAMED:])])
    _ground(axes)


def _mark(axes: Axes, point: Point) -> Bbox:
    """The place of a mark, for labels to keep off."""
    from matplotlib.transforms import Bbox

    x, y = axes.transData.transform((point.x, point.y))
    return Bbox.from_extents(x - 2, y - 2, x + 2, y + 2)


def write_svg(path: Path, result: RooflineResult) -> None:
    """Write the drawing as a file of its own, in the light colours; raises StorageError."""
    from edgereid.bench.roofline.standalone import standalone
    from edgereid.files import write_text

    write_text(path, standalone(draw(result)))


def captions(engines: Sequence[EngineRoofline]) -> str:
    """What the drawing shows, in words."""
    words = (
        "Up is faster; under a slope memory is the bound, under a flat line arithmetic. Strong "
        "lines bound what the panel shows. Circle: FP32, square: bf16, triangle: INT8. In an "
        "engine's panel each mark is a step, its area its share of the time."
    )
    hidden = [
        f"{engine.label} {100 * (1 - sum(x.ms for x in _drawn(engine)) / engine.plan.sum_ms):.0f} %"
        for engine in engines
        if engine.plan is not None and engine.plan.sum_ms
    ]
    if hidden:
        words += (
            " Steps without multiply-adds, or with less than "
            f"{100 * DRAWN_SHARE:g} % of the time, are not drawn; together: {', '.join(hidden)}."
        )
    return words
