"""Drawings: the Pareto front, and the units by what they cost and gain. SVG, no page around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgereid.files import atomic_path
from edgereid.search.outcome import Part, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (7.2, 4.4)  # inches
#: Okabe and Ito's colours for colour-blind readers: keeps, breaks, not judged.
COLOURS = {True: "#00805c", False: "#c75000", None: "#666f7a"}
NAMES = {True: "keeps the budget", False: "breaks it", None: "not judged"}
NAMED = 8  # units of the drawing that carry their names


def check_drawing() -> None:
    """Raise ModuleNotFoundError now, not after minutes of measuring, without matplotlib."""
    import matplotlib  # noqa: F401


def draw_front(path: Path, record: Record) -> None:
    """Speed against embedding error of the front's points. Raises StorageError."""
    figure, axes = _figure()
    outcome = record.outcome
    for keeps, colour in COLOURS.items():
        some = [p for p in outcome.points if p.keeps is keeps]
        if some:
            axes.scatter(
                [p.agreement.error for p in some],
                [1 / p.cost.value for p in some],
                color=colour,
                label=NAMES[keeps],
                zorder=3,
            )
    for number, point in enumerate(outcome.points):
        x, y = point.agreement.error, 1 / point.cost.value
        axes.plot([x, x], [1 / point.cost.high, 1 / point.cost.low], color=COLOURS[point.keeps])
        star = " (taken)" if number == outcome.taken else ""
        axes.annotate(
            f"{number}{star}", (x, y), xytext=(6, 4), textcoords="offset points", fontsize=9
        )
    smallest = min((p.agreement.error for p in outcome.points if p.agreement.error), default=1e-6)
    axes.set_xscale("symlog", linthresh=smallest)
    axes.margins(x=0.15)  # room for the labels
    axes.axhline(1.0, color="#d5dae1", zorder=1)
    axes.set_xlabel("squared error of the embeddings, relative to their variance")
    axes.set_ylabel("speed, times the best float engine")
    axes.set_title(f"{record.target}: precisions on the Pareto front")
    axes.legend(frameon=False)
    _save(path, figure)


def draw_units(path: Path, title: str, names: Sequence[str], parts: Sequence[Part]) -> None:
    """Each unit's share of the error against the time that INT8 saves there."""
    figure, axes = _figure()
    for part in parts:
        saved = [100 * (v - 1) for v in (part.cost.low, part.cost.high)]
        axes.plot([100 * part.error] * 2, saved, color="#d5dae1", zorder=1)
    errors = [100 * part.error for part in parts]
    times = [100 * (part.cost.value - 1) for part in parts]
    axes.scatter(errors, times, color="#0072b2", zorder=3, s=20)
    largest = sorted(range(len(parts)), key=lambda i: -parts[i].error)[:NAMED]
    for i in largest:
        axes.annotate(
            names[i], (errors[i], times[i]), xytext=(5, 3), textcoords="offset points", fontsize=8
        )
    axes.axhline(0.0, color="#d5dae1", zorder=1)
    axes.margins(x=0.15)
    axes.set_xlabel("error that INT8 adds here, % of all INT8's")
    axes.set_ylabel("time that INT8 saves here, %")
    axes.set_title(title)
    _save(path, figure)


def _figure() -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(path: Path, figure: Figure) -> None:
    import matplotlib

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "edgereid"}
    with matplotlib.rc_context(settings), atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
