"""Accuracy against parameters (Robust-ReID, Figure 1): what the papers print, and what is measured
here, apart.

Left, Market-1501: hollow circles are the papers' (accuracy and parameters as printed); half-filled
diamonds stand at the parameters measured here, at the height of the accuracy the paper prints.
Right, on a ground of its own: accuracy measured here, on the built-in data set. Every mark carries
an id in the SVG, ``KIND:NAME:METRIC``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgereid.bench.labels import Point, place
from edgereid.profile.accuracy import PAPERS, PUBLISHED, MeasuredAccuracy, PublishedAccuracy
from edgereid.profile.survey import SurveyRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY, BLUE, INK = "#5f6875", "#0067a5", "#1b1f24"
LINE, LEADER, TINT = "#d5dae1", "#9aa3ae", "#eef4fa"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "edgereid",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}
METRICS = {"rank1": "Rank-1, %", "mean_ap": "mAP, %"}  # field -> axis; one row of panels each
MILLIONS = (0.15, 130.0)  # the axis of all panels
MIN_SPAN = 10.0  # points: a smaller axis would make noise look like a difference
MARGINS = {
    "left": 0.05,
    "right": 0.985,
    "top": 0.97,
    "bottom": 0.16,
    "wspace": 0.11,
    "hspace": 0.1,
}


@dataclass(frozen=True, slots=True)
class Look:
    """How marks of a kind are drawn, what the legend says, and whether they are ours."""

    marker: str
    size: float
    fill: Literal["full", "left", "none"]
    colour: str
    legend: str
    own: bool = False

    def line(self) -> dict[str, Any]:
        """The look in matplotlib's words."""
        return {
            "marker": self.marker,
            "markersize": self.size,
            "fillstyle": self.fill,
            "color": self.colour,
            "markerfacecoloralt": "white",
            "markeredgewidth": 1.3,
            "linestyle": "none",
        }


LOOKS = {
    "published": Look(
        "o", 9.5, "none", GREY, "published: parameters and accuracy as the paper prints them"
    ),
    "at-least": Look(">", 8.0, "none", GREY, "published: the paper prints a lower bound"),
    "implemented": Look(
        "D", 6.0, "left", BLUE, "parameters measured here, accuracy as the paper prints it", True
    ),
    "no-accuracy": Look(
        "|", 11.0, "full", BLUE, "parameters measured here, no accuracy printed", True
    ),
    "measured": Look("D", 7.5, "full", BLUE, "parameters and accuracy measured here", True),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of one panel: a kind of ``LOOKS``, parameters in millions, accuracy in percent;
    ``name`` is in its id; ``label`` stands beside it ("": its twin's label does); ``printed``:
    the paper's millions of parameters, where ours are drawn and the paper prints them."""

    kind: str
    name: str
    label: str
    millions: float
    percent: float
    printed: float | None = None


def draw(rows: Sequence[SurveyRow], measured: Sequence[MeasuredAccuracy], form: str) -> bytes:
    """The picture as a file of ``form``, "svg" or "png"; equal input gives equal bytes."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = _figure(rows, measured)
        buffer = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {}
        figure.savefig(buffer, format=form, dpi=160, metadata=metadata)
    return buffer.getvalue()


def published_marks(rows: Sequence[SurveyRow], metric: str) -> list[Mark]:
    """The left panel's marks of a metric, a field of PublishedAccuracy. A paper's row and ours of
    the same network and accuracy carry one label."""
    best = _best(rows)
    marks = []
    for p in PUBLISHED:
        millions, label = _millions(p), f"{p.label} [{p.paper}]"
        if millions is not None:
            kind = "at-least" if p.at_least else "published"
            label = "" if p in best.values() else label
            marks.append(Mark(kind, p.label, label, millions, getattr(p, metric)))
    ours = _main(rows)
    for name, p in best.items():
        label, percent = f"{name} [{p.paper}]", getattr(p, metric)
        marks.append(Mark("implemented", name, label, ours[name], percent, _millions(p)))
    return marks


def _millions(row: PublishedAccuracy) -> float | None:
    return None if row.parameters is None else row.parameters / 1e6


def uncompared(rows: Sequence[SurveyRow]) -> dict[str, float]:
    """Main networks for which no paper here prints an accuracy: name -> millions of parameters."""
    best = _best(rows)
    return {name: millions for name, millions in _main(rows).items() if name not in best}


def measured_marks(
    rows: Sequence[SurveyRow], measured: Iterable[MeasuredAccuracy], metric: str
) -> list[Mark]:
    """The right panel's marks, of surveyed networks: parameters counted, accuracy recorded."""
    counted = {row.profile.network: row.profile.parameters / 1e6 for row in rows}
    return [
        Mark("measured", m.network, m.network, counted[m.network], getattr(m, metric))
        for m in measured
        if m.network in counted
    ]


def _main(rows: Sequence[SurveyRow]) -> dict[str, float]:
    """The main networks: name -> millions of parameters, as measured."""
    return {r.profile.network: r.profile.parameters / 1e6 for r in rows if r.main}


def _best(rows: Sequence[SurveyRow]) -> dict[str, PublishedAccuracy]:
    """The published row with the highest Rank-1 of each main network."""
    ours = _main(rows)
    ranked = sorted(PUBLISHED, key=lambda p: p.rank1)
    return {p.network: p for p in ranked if p.network is not None and p.network in ours}


# --- drawing ------------------------------------------------------------------------------------


def _figure(rows: Sequence[SurveyRow], measured: Sequence[MeasuredAccuracy]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14.5, 11.8), dpi=72)  # 72: SVG's own unit is the point
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2, width_ratios=(2.9, 1), gridspec_kw=MARGINS)
    for (left, right), (metric, title) in zip(panels, METRICS.items(), strict=True):
        marks = published_marks(rows, metric)
        _axes(left, marks, title)
        low, high = left.get_ylim()
        foot = low + 0.025 * (high - low)
        marks += [Mark("no-accuracy", n, n, x, foot) for n, x in uncompared(rows).items()]
        _fill(left, marks, metric)
        marks = measured_marks(rows, measured, metric)
        _axes(right, marks, title)
        right.set_facecolor(TINT)
        _fill(right, marks, metric)
    _words(figure, panels, measured)
    return figure


def _axes(axes: Axes, marks: Sequence[Mark], title: str) -> None:
    """Limits, ticks and the grid of one panel; room for the marks, their labels and a foot."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    values = [m.percent for m in marks] or [50.0]
    span = max(max(values) - min(values), MIN_SPAN)
    middle = (max(values) + min(values)) / 2
    axes.set_ylim(max(0.0, middle - 0.66 * span), min(100.5, middle + 0.6 * span))
    axes.set_ylabel(title, color=INK)
    axes.set_xscale("log")
    axes.set_xlim(*MILLIONS)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=30))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(alpha=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=INK)


def _fill(axes: Axes, marks: Sequence[Mark], metric: str) -> None:
    """Marks, lines between twins, labels."""
    from matplotlib.text import Annotation

    for mark in marks:
        look = LOOKS[mark.kind]
        gid = f"{mark.kind}:{mark.name}:{metric}"
        axes.plot(mark.millions, mark.percent, **look.line(), zorder=3 + look.own, gid=gid)
        if mark.printed is not None:
            ends = [mark.printed, mark.millions]
            axes.plot(ends, [mark.percent] * 2, color=GREY, lw=1.0, zorder=2)
    points = [Point(m.millions, m.percent, m.label, LOOKS[m.kind].own) for m in marks]
    place(axes, points)
    colours = {m.label: LOOKS[m.kind].colour for m in marks}
    for text in axes.texts:
        text.set_color(colours[text.get_text()])
        if isinstance(text, Annotation) and text.arrow_patch is not None:
            text.arrow_patch.set_color(LEADER)


def _words(figure: Figure, panels: Any, own: Sequence[MeasuredAccuracy]) -> None:
    """Titles, the legend and the sources."""
    from matplotlib.lines import Line2D

    titles = ("Market-1501, accuracy as published", "Built-in data set, measured here")
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, loc="left", fontweight="bold", color=INK)
    for axes in panels[1]:
        axes.set_xlabel("parameters for inference, millions", color=INK)
    keys = [Line2D([], [], label=look.legend, **look.line()) for look in LOOKS.values()]
    figure.legend(handles=keys, loc="upper left", bbox_to_anchor=(0.04, 0.115), frameon=False)
    lines = [f"[{key}] {title}, {_tables(key)}" for key, title in PAPERS.items()]
    if own:
        sizes = (f"{r.network} {r.queries:,} queries, {r.gallery:,} gallery images" for r in own)
        lines.append(f"Built-in data set: {'; '.join(sizes)}")
    text = "\n".join(lines)
    figure.text(0.4, 0.107, text, fontsize=9, color=GREY, va="top", linespacing=1.6)


def _tables(paper: str) -> str:
    return " and ".join(dict.fromkeys(row.table for row in PUBLISHED if row.paper == paper))
