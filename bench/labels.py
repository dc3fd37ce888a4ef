"""Labels beside points, placed where they cover neither each other nor a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgereid.bench.svg import INK, LINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

MARKER_RADIUS = 6.0  # points
GAP = 9.0


@dataclass(frozen=True, slots=True)
class Point:
    """A point in data coordinates and what to write beside it."""

    x: float
    y: float
    text: str
    bold: bool = False


def _offsets() -> Iterator[tuple[float, float, str]]:
    """Where a label may stand, the best place first: (right, up) in points, alignment."""
    yield GAP, 0.0, "left"
    yield -GAP, 0.0, "right"
    for level in range(1, 9):
        for side in (1, -1):
            for across, align in ((0.0, "center"), (GAP, "left"), (-GAP, "right")):
                yield across, side * (4.0 + 13.0 * level), align


def place(axes: Axes, points: Sequence[Point], obstacles: Sequence[Bbox] = ()) -> None:
    """Write the labels; call when limits and layout are final.

    ``obstacles`` are further boxes, in display coordinates, that labels should not cover. Bold ones
    choose first; a label that fits nowhere is written at its first choice all the same.
    """
    from matplotlib.transforms import Bbox

    figure = axes.get_figure()
    assert figure is not None
    scale = figure.dpi / 72
    taken = list(obstacles)
    for point in points:
        x, y = axes.transData.transform((point.x, point.y))
        r = MARKER_RADIUS * scale
        taken.append(Bbox.from_extents(x - r, y - r, x + r, y + r))
    for point in sorted(points, key=lambda p: not p.bold):
        taken.append(_place_one(axes, point, taken))


def _place_one(axes: Axes, point: Point, taken: Sequence[Bbox]) -> Bbox:
    frame = axes.get_window_extent()
    for right, up, align in _offsets():
        label = _annotate(axes, point, right, up, align)
        box = _text_box(label)
        across = frame.x0 <= box.x0 and box.x1 <= frame.x1
        upright = frame.y0 <= box.y0 and box.y1 <= frame.y1
        if across and upright and not any(box.overlaps(other) for other in taken):
            return box
        label.remove()
    return _text_box(_annotate(axes, point, *next(_offsets())))


def _text_box(label: Annotation) -> Bbox:
    """Where the text stands, without its leader."""
    from matplotlib.text import Text

    label.get_window_extent()  # moves the text to its place
    return Text.get_window_extent(label)


def _annotate(axes: Axes, point: Point, right: float, up: float, align: str) -> Annotation:
    return axes.annotate(
        point.text,
        (point.x, point.y),
        xytext=(right, up),
        textcoords="offset points",
        ha=align,
        va="center",
        fontsize=9,
        color=INK,
        fontweight="bold" if point.bold else "normal",
        arrowprops=_leader(right, up),
        zorder=5,
    )


def _leader(right: float, up: float) -> dict[str, object] | None:
    """A thin line from a label to its point, once it stands away from it."""
    if abs(up) < 20:
        return None
    return {"arrowstyle": "-", "color": LINE, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 5}
