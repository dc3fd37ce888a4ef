"""What is on the clothes: the upper garment, unrolled.

A garment is an image of the body's surface, all the way round: column 0 and the last meet at
the back, the middle column is the front, rows run from shoulder to hem. Drawing the torso is
then looking up, for every point of the visible half, the angle it lies at, so a logo is seen from
the front only, moves as the person turns, and the straps of a backpack are on the chest while
the backpack is on the back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgereid.data.synth.identity import CLOTH, Colour, Identity, Looks

#: Size of the unrolled garment in pixels: columns for 360 degrees, rows for shoulder to hem.
AROUND, DOWN = 256, 96
_FRONT = AROUND // 2
_STRAP = 36
_OPEN = {"jacket": 20, "coat": 13}

Painter = Callable[[ImageDraw.ImageDraw, Colour], None]


def tint(colour: Colour, factor: float) -> Colour:
    """The colour, lighter (factor above 1) or darker, within 0..255."""
    return (
        min(255, int(colour[0] * factor)),
        min(255, int(colour[1] * factor)),
        min(255, int(colour[2] * factor)),
    )


def _rows(step: int, thick: int) -> Painter:
    def paint(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
        for y in range(step // 2, DOWN, step):
            draw.rectangle((0, y, AROUND, y + thick - 1), fill=colour)

    return paint


def _columns(step: int, thick: int) -> Painter:
    def paint(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
        for x in range(0, AROUND, step):
            draw.rectangle((x, 0, x + thick - 1, DOWN), fill=colour)

    return paint


def _checks(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for row, y in enumerate(range(0, DOWN, 16)):
        for x in range(16 * (row % 2), AROUND, 32):
            draw.rectangle((x, y, x + 15, y + 15), fill=colour)


def _dots(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for row, y in enumerate(range(10, DOWN, 18)):
        for x in range(10 + 11 * (row % 2), AROUND, 22):
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour)


def _box(left: float, top: float, right: float, bottom: float) -> Painter:
    def paint(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
        draw.rectangle((left * AROUND, top * DOWN, right * AROUND, bottom * DOWN), fill=colour)

    return paint


def _sides(draw: ImageDraw.ImageDraw, colour: Colour) -> None:
    for centre in (AROUND // 4, 3 * AROUND // 4):
        draw.rectangle((centre - 14, 0, centre + 14, DOWN), fill=colour)


_PATTERN_PAINTERS: Mapping[str, Painter] = {
    "plain": lambda draw, colour: None,
    "stripes": _rows(14, 6),
    "bars": _rows(32, 15),
    "pinstripes": _columns(16, 5),
    "checks": _checks,
    "dots": _dots,
    "halves": _box(0.5, 0.0, 1.0, 1.0),
    "band": _box(0.0, 0.34, 1.0, 0.56),
    "yoke": _box(0.0, 0.0, 1.0, 0.3),
    "sides": _sides,
}


def _print(draw: ImageDraw.ImageDraw, kind: str, x: int, y: int, colour: Colour, r: int) -> None:
    """One of the prints of a shirt, about ``2 r`` wide, centred at (x, y)."""
    if kind == "disc":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif kind == "ring":
        draw.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=max(3, r // 2))
    elif kind == "square":
        draw.rectangle((x - r, y - r, x + r, y + r), fill=colour)
    elif kind == "bar":
        draw.rectangle((x - int(1.7 * r), y - r // 2, x + int(1.7 * r), y + r // 2), fill=colour)
    elif kind == "wedge":
        draw.polygon(((x - r, y - r), (x + r, y - r), (x, y + r)), fill=colour)
    elif kind == "cross":
        draw.rectangle((x - r // 3, y - r, x + r // 3, y + r), fill=colour)
        draw.rectangle((x - r, y - r // 3, x + r, y + r // 3), fill=colour)


def _straps(draw: ImageDraw.ImageDraw, looks: Looks) -> None:
    colour = tint(CLOTH[looks.bag_colour], 0.9)
    if looks.bag == "backpack":
        for x in (_FRONT - _STRAP, _FRONT + _STRAP):
            draw.rectangle((x - 6, 0, x + 6, int(DOWN * 0.62)), fill=colour)
    elif looks.bag == "messenger":
        turn = -1 if looks.left_handed else 1
        near, far = _FRONT - turn * 64, _FRONT + turn * 64
        draw.line((near + turn * 14, 0, far, DOWN), fill=colour, width=11)
        for wrap in (0, turn * AROUND):
            draw.line(
                (near - turn * 14 + wrap, 0, far - turn * AROUND + wrap, DOWN), colour, width=11
            )


@lru_cache(maxsize=256)
def upper_garment(who: Identity) -> NDArray[np.uint8]:
    """The unrolled upper garment of a person, (DOWN, AROUND, 3), with bag straps and prints."""
    looks = who.looks
    base = tint(CLOTH[looks.top_colour], who.shade)
    second = tint(CLOTH[looks.second_colour], who.shade)
    image = Image.new("RGB", (AROUND, DOWN), base)
    draw = ImageDraw.Draw(image)
    _PATTERN_PAINTERS[looks.pattern](draw, second)
    opening = _OPEN.get(looks.top, 0)
    if opening:
        inner = CLOTH[looks.inner_colour]
        draw.polygon(
            (
                (_FRONT - opening * 0.5, 0),
                (_FRONT + opening * 0.5, 0),
                (_FRONT + opening, DOWN),
                (_FRONT - opening, DOWN),
            ),
            fill=inner,
        )
    # A jacket hides the print of the shirt below it but for a small badge.
    place, size = (_FRONT - 38, 8) if opening else (_FRONT, 17)
    _print(draw, looks.logo, place, int(DOWN * 0.4), CLOTH[looks.logo_colour], size)
    for seam in (0, AROUND):
        _print(draw, looks.back, seam, int(DOWN * 0.36), CLOTH[looks.logo_colour], 22)
    draw.rectangle((0, DOWN - 4, AROUND, DOWN), fill=tint(base, 0.75))
    _straps(draw, looks)
    return np.asarray(image, dtype=np.uint8)
