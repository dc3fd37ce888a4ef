"""Heads: face, hair and hats, as layers to be painted far to near."""

from __future__ import annotations

from collections.abc import Callable

from edgereid.data.synth.garments import tint
from edgereid.data.synth.identity import CLOTH, Colour, Identity
from edgereid.data.synth.view import Layer, View

_CENTRE_Y = 0.925
_WIDE, _TALL = 0.056, 0.072


def _oval(
    view: View, x: float, y: float, wide: float, tall: float, colour: Colour, arc: str = "full"
) -> None:
    """An ellipse around (x, y) in pixels (radii in body heights), or its top half."""
    w, t = wide * view.place.height, tall * view.place.height
    box = (x - w, y - t, x + w, y + t)
    if arc == "top":
        view.draw.pieslice(box, 180, 360, fill=colour)
    else:
        view.draw.ellipse(box, fill=colour)


def paint_head(view: View, who: Identity) -> list[Layer]:
    """The layers of the head: what hangs behind it, and the head itself."""
    looks = who.looks
    size = who.head
    wide, tall = _WIDE * size, _TALL * size
    hair = looks.hair_colour
    x, y = view.flat((0.0, _CENTRE_Y, 0.012))
    scale = view.place.height
    facing, sideways = view.cos, view.sin

    def head() -> None:
        neck = view.flat((0.0, 0.85, 0.0))
        view.draw.rectangle(
            (neck[0] - 0.03 * scale, y, neck[0] + 0.03 * scale, neck[1] + 0.012 * scale),
            fill=tint(looks.skin, 0.82),
        )
        skull = looks.skin if looks.hair == "bald" else hair
        _oval(view, x, y, wide, tall, skull)
        if facing > -0.45:
            # The face slides round the head as it turns, and narrows until only a cheek is left.
            share = 0.5 + 0.5 * min(1.0, facing + 0.45)
            face_x = x + 0.36 * wide * sideways * scale
            _oval(view, face_x, y + 0.016 * scale, wide * 0.86 * share, tall * 0.8, looks.skin)
            if facing > 0.3:
                for eye in (-1, 1):
                    ex = face_x + eye * 0.4 * wide * scale
                    _oval(view, ex, y + 0.004 * scale, 0.006, 0.006, (50, 40, 38))
        if looks.hair != "bald":
            _oval(view, x, y - 0.006 * scale, wide * 1.06, tall * 1.04, hair, "top")
            if facing > 0.2:
                brow = x + 0.3 * wide * sideways * scale
                _oval(view, brow, y + 0.008 * scale, wide * 0.72, tall * 0.42, looks.skin)
        _HATS[looks.hat](view, who, x, y)

    layers: list[Layer] = [(0.05, head)]
    if looks.hair in _BACK_HAIR and looks.hat != "hood":
        paint = _BACK_HAIR[looks.hair]
        layers.append((0.06 if facing < 0.0 else -0.05, lambda: paint(view, who, x, y)))
    return layers


Painter = Callable[[View, Identity, float, float], None]


def _no_hat(view: View, who: Identity, x: float, y: float) -> None:
    return None


def _cap(view: View, who: Identity, x: float, y: float) -> None:
    colour = CLOTH[who.looks.hat_colour]
    wide, tall, scale = _WIDE * who.head, _TALL * who.head, view.place.height
    top = y - 0.012 * scale
    _oval(view, x, top, wide * 1.12, tall * 0.98, colour, "top")
    brim = x + 0.075 * view.sin * scale
    if view.cos > -0.5:
        _oval(view, brim, top, wide * (0.8 + 0.3 * abs(view.cos)), 0.014, tint(colour, 0.7))


def _beanie(view: View, who: Identity, x: float, y: float) -> None:
    colour = CLOTH[who.looks.hat_colour]
    wide, tall, scale = _WIDE * who.head, _TALL * who.head, view.place.height
    _oval(view, x, y - 0.004 * scale, wide * 1.14, tall * 1.2, colour, "top")
    edge = wide * 1.14 * scale
    view.draw.rectangle(
        (x - edge, y - 0.016 * scale, x + edge, y + 0.008 * scale), fill=tint(colour, 0.75)
    )


def _brim(view: View, who: Identity, x: float, y: float) -> None:
    colour = CLOTH[who.looks.hat_colour]
    wide, tall, scale = _WIDE * who.head, _TALL * who.head, view.place.height
    top = y - 0.018 * scale
    _oval(view, x, top, wide * 1.1, tall * 0.95, colour, "top")
    _oval(view, x, top, wide * 1.75, 0.02, tint(colour, 0.85))


def _hood(view: View, who: Identity, x: float, y: float) -> None:
    colour = tint(CLOTH[who.looks.top_colour], who.shade)
    wide, tall, scale = _WIDE * who.head, _TALL * who.head, view.place.height
    _oval(view, x, y, wide * 1.25, tall * 1.18, tint(colour, 0.85))
    if view.cos > -0.3:
        slide = 0.45 * wide * view.sin * scale
        narrow = 0.45 + 0.4 * max(0.0, view.cos)
        _oval(view, x + slide, y + 0.012 * scale, wide * narrow, tall * 0.75, who.looks.skin)


_HATS: dict[str, Painter] = {
    "none": _no_hat,
    "cap": _cap,
    "beanie": _beanie,
    "brim": _brim,
    "hood": _hood,
}


def _long(view: View, who: Identity, x: float, y: float) -> None:
    scale, wide = view.place.height, _WIDE * who.head
    centre = x - 0.25 * wide * view.sin * scale
    side = wide * 1.2 * scale
    colour = tint(who.looks.hair_colour, 0.92)
    view.draw.rectangle((centre - side, y, centre + side, y + 0.15 * scale), fill=colour)
    _oval(view, centre, y + 0.15 * scale, wide * 1.2, 0.02, colour)


def _bob(view: View, who: Identity, x: float, y: float) -> None:
    scale, wide = view.place.height, _WIDE * who.head
    side = wide * 1.22 * scale
    centre = x - 0.2 * wide * view.sin * scale
    view.draw.rectangle(
        (centre - side, y - 0.01 * scale, centre + side, y + 0.065 * scale),
        fill=who.looks.hair_colour,
    )


def _ponytail(view: View, who: Identity, x: float, y: float) -> None:
    colour = tint(who.looks.hair_colour, 1.1)
    view.limb((0.0, 0.95, -0.06), (0.0, 0.80, -0.09), 0.022, 0.012, colour)


def _bun(view: View, who: Identity, x: float, y: float) -> None:
    view.limb((0.0, 0.985, -0.045), (0.0, 0.99, -0.045), 0.032, 0.03, who.looks.hair_colour)


_BACK_HAIR: dict[str, Painter] = {"long": _long, "bob": _bob, "ponytail": _ponytail, "bun": _bun}
