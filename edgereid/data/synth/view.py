"""The camera's view of a body: from points on the body to the canvas.

Lengths are in body heights. A body stands at the origin and looks along +z; x points to its left
hand as seen from the front, y up. ``heading`` turns it about the vertical: 0 faces the camera, half
a turn shows the back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from edgereid.data.synth.garments import tint
from edgereid.data.synth.identity import Colour

Point = tuple[float, float, float]
#: A thing to paint, and how near to the camera it is: things are painted far to near.
Layer = tuple[float, Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Pose:
    """``heading`` and walking ``phase`` in radians, ``stride`` the swing of a leg in radians,
    ``pitch`` how far the camera looks down in radians, ``light`` from -1 (left) to 1 (right)."""

    heading: float
    phase: float
    stride: float
    pitch: float
    light: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where the figure stands on the canvas: middle and soles in pixels, pixels a body height."""

    x: float
    soles: float
    height: float


class View:
    """Projects points of the body to the canvas, and paints limbs there."""

    def __init__(self, canvas: Image.Image, pose: Pose, place: Place) -> None:
        self.canvas = canvas
        self.draw = ImageDraw.Draw(canvas)
        self.pose = pose
        self.place = place
        self.cos, self.sin = math.cos(pose.heading), math.sin(pose.heading)
        self._tilt_cos, self._tilt_sin = math.cos(pose.pitch), math.sin(pose.pitch)

    def depth(self, point: Point) -> float:
        """How near to the camera a point is, in body heights."""
        return point[2] * self.cos - point[0] * self.sin

    def flat(self, point: Point) -> tuple[float, float]:
        """Where a point lies on the canvas, in pixels."""
        side = point[0] * self.cos + point[2] * self.sin
        down = self.depth(point) * self._tilt_sin - point[1] * self._tilt_cos
        return (
            self.place.x + side * self.place.height,
            self.place.soles + down * self.place.height,
        )

    def limb(self, a: Point, b: Point, wide_a: float, wide_b: float, colour: Colour) -> None:
        """A rounded, tapering limb from a to b; widths are radii in body heights."""
        (ax, ay), (bx, by) = self.flat(a), self.flat(b)
        ra, rb = wide_a * self.place.height, wide_b * self.place.height
        dx, dy = bx - ax, by - ay
        length = math.hypot(dx, dy) or 1.0
        nx, ny = -dy / length, dx / length
        dark = tint(colour, 0.78)
        self._taper(ax, ay, bx, by, nx, ny, ra, rb, dark)
        shift = self.pose.light * 0.3
        sx, sy = ra * shift, 0.0
        self._taper(ax + sx, ay + sy, bx + sx, by + sy, nx, ny, ra * 0.66, rb * 0.66, colour)

    def _taper(
        self, ax: float, ay: float, bx: float, by: float,
        nx: float, ny: float, ra: float, rb: float, colour: Colour,
    ) -> None:  # fmt: skip
        self.draw.polygon(
            (
                (ax + nx * ra, ay + ny * ra),
                (bx + nx * rb, by + ny * rb),
                (bx - nx * rb, by - ny * rb),
                (ax - nx * ra, ay - ny * ra),
            ),
            fill=colour,
        )
        self.draw.ellipse((ax - ra, ay - ra, ax + ra, ay + ra), fill=colour)
        self.draw.ellipse((bx - rb, by - rb, bx + rb, by + rb), fill=colour)


def between(a: Point, b: Point, share: float) -> Point:
    """The point that lies ``share`` of the way from a to b."""
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )
