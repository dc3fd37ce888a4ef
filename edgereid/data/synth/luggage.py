"""Bags: what is carried, as layers to be painted far to near."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgereid.data.synth.garments import tint
from edgereid.data.synth.identity import CLOTH, Colour, Identity
from edgereid.data.synth.view import Layer, View

Box = tuple[float, float, float]


def _slab(view: View, centre: Box, half: Box, colour: Colour, flap: float = 0.0) -> None:
    """A box-like bag: ``half`` is half its width, height and depth, in body heights."""
    x, y = view.flat(centre)
    scale = view.place.height
    wide = (half[0] * abs(view.cos) + half[2] * abs(view.sin)) * scale
    tall = half[1] * scale
    radius = min(wide, tall) * 0.45
    view.draw.rounded_rectangle(
        (x - wide, y - tall, x + wide, y + tall), radius, fill=tint(colour, 0.72)
    )
    inset = 0.12 * wide
    view.draw.rounded_rectangle(
        (x - wide + inset, y - tall + inset, x + wide - inset, y + tall - inset),
        radius,
        fill=colour,
    )
    if flap:
        low = y - tall + 2.0 * tall * flap
        view.draw.line(
            (x - wide + inset, low, x + wide - inset, low),
            fill=tint(colour, 0.55),
            width=max(1, int(0.012 * scale)),
        )


def _side(who: Identity) -> float:
    return 1.0 if who.looks.left_handed else -1.0


def _backpack(view: View, who: Identity, colour: Colour) -> Layer:
    centre = (0.0, 0.705, -0.125)
    half = (0.105, 0.125, 0.06)
    # From the front it is behind the torso (0.01), from the back it hides arms' edges too.
    near = 0.045 if view.cos < 0.25 else -0.2
    return near, lambda: _slab(view, centre, half, colour, 0.55)


def _messenger(view: View, who: Identity, colour: Colour) -> Layer:
    centre = (_side(who) * 0.135, 0.49, -0.02)
    return (
        view.depth(centre) + 0.03,
        lambda: _slab(view, centre, (0.05, 0.065, 0.10), colour, 0.5),
    )


def _handbag(view: View, who: Identity, colour: Colour) -> Layer:
    centre = (_side(who) * 0.155, 0.38, 0.04)

    def paint() -> None:
        view.limb((centre[0], 0.48, 0.04), (centre[0], 0.42, 0.04), 0.012, 0.02, tint(colour, 0.7))
        _slab(view, centre, (0.04, 0.058, 0.085), colour)

    return view.depth(centre) + 0.03, paint


def _tote(view: View, who: Identity, colour: Colour) -> Layer:
    centre = (_side(who) * 0.16, 0.34, 0.04)

    def paint() -> None:
        view.limb((centre[0], 0.48, 0.04), (centre[0], 0.4, 0.04), 0.01, 0.03, tint(colour, 0.8))
        _slab(view, centre, (0.045, 0.095, 0.075), colour)

    return view.depth(centre) + 0.03, paint


def _trolley(view: View, who: Identity, colour: Colour) -> Layer:
    x = _side(who) * 0.17

    def paint() -> None:
        view.limb((x, 0.47, 0.0), (x, 0.26, -0.16), 0.008, 0.008, (90, 90, 94))
        _slab(view, (x, 0.15, -0.2), (0.085, 0.13, 0.055), colour, 0.3)

    return view.depth((x, 0.0, -0.2)) + 0.02, paint


_BAGS: Mapping[str, Callable[[View, Identity, Colour], Layer]] = {
    "backpack": _backpack,
    "messenger": _messenger,
    "handbag": _handbag,
    "tote": _tote,
    "trolley": _trolley,
}


def paint_luggage(view: View, who: Identity) -> list[Layer]:
    """The layers of the bag that a person carries, if any."""
    if who.looks.bag == "none":
        return []
    return [_BAGS[who.looks.bag](view, who, CLOTH[who.looks.bag_colour])]
