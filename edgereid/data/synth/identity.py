"""Who can be drawn: an identity is a vector of attributes, and no two are nearly the same.

Three of four people wear the colours of one of a few outfits, and nearly half resemble a known
figure: many people share their colours and differ in cut, pattern, print, bag, hair or hat only.
A colour histogram cannot tell them apart, a look can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgereid.data.synth.draws import Draws

Colour = tuple[int, int, int]

#: First number of the key of every random stream, by what is drawn.
STREAM_IDENTITY, STREAM_OUTFIT, STREAM_SPLIT, STREAM_CAMERA = 1, 2, 3, 4
STREAM_BACKGROUND, STREAM_TRACK, STREAM_IMAGE, STREAM_STRANGER = 5, 6, 7, 8

CLOTH: Mapping[str, Colour] = {
    "black": (30, 30, 34),
    "charcoal": (66, 68, 74),
    "grey": (128, 130, 134),
    "white": (224, 224, 220),
    "navy": (36, 44, 84),
    "denim": (76, 100, 146),
    "red": (178, 44, 48),
    "green": (56, 112, 70),
    "beige": (190, 170, 134),
    "brown": (100, 70, 50),
    "yellow": (214, 182, 60),
    "pink": (214, 136, 156),
    "purple": (104, 66, 130),
    "teal": (48, 130, 140),
    "orange": (214, 118, 50),
}
_TOP_COLOURS = {
    "black": 5, "charcoal": 3, "grey": 4, "white": 5, "navy": 4, "denim": 2, "red": 2, "green": 2,
    "beige": 2, "brown": 1, "yellow": 1, "pink": 1, "purple": 1, "teal": 1, "orange": 1,
}  # fmt: skip
_BOTTOM_COLOURS = {
    "black": 6, "charcoal": 4, "grey": 3, "navy": 4, "denim": 5, "beige": 3, "brown": 2,
    "white": 1, "green": 1, "red": 0.5,
}  # fmt: skip
_ACCENTS = dict.fromkeys(CLOTH, 1.0)
_SHOES = {"black": 4, "white": 4, "brown": 2, "grey": 2, "red": 1, "denim": 1, "yellow": 0.5}

_PATTERNS = {
    "plain": 7, "stripes": 2, "bars": 2, "pinstripes": 1.5, "checks": 2, "dots": 1.5,
    "halves": 1, "band": 1.5, "yoke": 1.5, "sides": 1,
}  # fmt: skip
_LOGOS = {"none": 5, "disc": 1, "square": 1, "bar": 1.5, "wedge": 1, "ring": 1, "cross": 1}
_BACKS = {"none": 6, "disc": 1, "square": 1, "bar": 1.5, "wedge": 1, "cross": 1}
_TOPS = {"tee": 5, "long": 4, "jacket": 4, "coat": 1.5, "vest": 1, "raglan": 1.5}
_BOTTOMS = {"trousers": 6, "slim": 3, "wide": 1.5, "shorts": 3, "skirt": 1.5, "long skirt": 1}
_LEG_PATTERNS = {"plain": 5, "seam": 1.2, "cuffs": 1, "patches": 0.8}
_BAGS = {
    "none": 4, "backpack": 3.5, "messenger": 2.5, "handbag": 2, "tote": 1.2, "trolley": 1,
}  # fmt: skip
_HAIR = {"short": 6, "long": 3, "ponytail": 2, "bun": 1, "bob": 1.5, "bald": 1}
_HATS = {"none": 8, "cap": 1.6, "beanie": 1, "brim": 0.8, "hood": 0.8}
_HAIR_COLOURS: Mapping[Colour, float] = {
    (26, 22, 20): 5, (62, 42, 30): 3, (112, 76, 44): 1.5, (184, 148, 88): 1.2, (142, 140, 140): 0.8,
}  # fmt: skip
_SKINS: Mapping[Colour, float] = {
    (228, 184, 156): 4, (206, 158, 124): 3, (166, 116, 84): 2, (112, 76, 54): 1.5,
}  # fmt: skip

#: How many attributes, counted by visibility, must differ between any two identities.
_LEAST_DIFFERENCE = 3
_ATTEMPTS = 200
#: Outfits whose colours are shared; people who all others may resemble, and the share who do.
_OUTFITS, _MODELS, _LOOKALIKES = 14, 24, 0.45


class Looks(NamedTuple):
    """The attributes that tell people apart, each one of a few values."""

    top: str
    top_colour: str
    second_colour: str
    pattern: str
    inner_colour: str
    logo: str
    logo_colour: str
    back: str
    bottom: str
    bottom_colour: str
    legs: str
    leg_colour: str
    shoes: str
    bag: str
    bag_colour: str
    left_handed: bool
    hair: str
    hair_colour: Colour
    hat: str
    hat_colour: str
    skin: Colour


#: Attributes of a look-alike that are drawn anew together.
_GROUPS = (
    ("top", "inner_colour"), ("pattern",), ("logo", "logo_colour"), ("back",), ("bottom", "legs"),
    ("leg_colour", "shoes"), ("bag", "left_handed"), ("bag_colour",), ("hair", "hat"),
    ("hair_colour", "hat_colour"), ("skin",),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """One person: ``looks``, and proportions as factors around 1 (``build`` is width)."""

    looks: Looks
    build: float
    shoulders: float
    legs: float
    head: float
    shade: float


def _other(draws: Draws, table: Mapping[str, float], *taken: str) -> str:
    return draws.weighted({name: w for name, w in table.items() if name not in taken})


def _outfit(draws: Draws) -> tuple[str, str]:
    return draws.weighted(_TOP_COLOURS), draws.weighted(_BOTTOM_COLOURS)


def _fresh_looks(draws: Draws, seed: int) -> Looks:
    shared = draws.chance(0.75)
    source = Draws(seed, STREAM_OUTFIT, draws.below(_OUTFITS)) if shared else draws
    top_colour, bottom_colour = _outfit(source)
    second = _other(source if shared else draws, _ACCENTS, top_colour)
    top = draws.weighted(_TOPS)
    return Looks(
        top=top,
        top_colour=top_colour,
        second_colour=second,
        pattern=draws.weighted(_PATTERNS),
        inner_colour=_other(draws, _TOP_COLOURS, top_colour),
        logo=draws.weighted(_LOGOS),
        logo_colour=_other(draws, _ACCENTS, top_colour, second),
        back=draws.weighted(_BACKS),
        bottom=draws.weighted(_BOTTOMS),
        bottom_colour=bottom_colour,
        legs=draws.weighted(_LEG_PATTERNS),
        leg_colour=_other(draws, _ACCENTS, bottom_colour),
        shoes=draws.weighted(_SHOES),
        bag=draws.weighted(_BAGS),
        bag_colour=_other(draws, _ACCENTS, top_colour),
        left_handed=draws.chance(0.5),
        hair=draws.weighted(_HAIR),
        hair_colour=draws.weighted(_HAIR_COLOURS),
        hat=draws.weighted(_HATS),
        hat_colour=draws.weighted(_ACCENTS),
        skin=draws.weighted(_SKINS),
    )


def _looks(draws: Draws, seed: int) -> Looks:
    """Looks of one's own, or those of a known figure with a few attributes drawn anew."""
    fresh = _fresh_looks(draws, seed)
    if not draws.chance(_LOOKALIKES):
        return fresh
    model = _fresh_looks(Draws(seed, STREAM_OUTFIT, draws.below(_MODELS), 1), seed)
    changed = {group: draws.chance(0.34) for group in _GROUPS}
    anew = {name: getattr(fresh, name) for group in _GROUPS if changed[group] for name in group}
    return model._replace(**anew)


def visible(looks: Looks) -> tuple[object, ...]:
    """The attributes as they can be seen: the colour of a bag that is not there is left out."""
    return (
        looks.top,
        looks.top_colour,
        looks.pattern,
        looks.second_colour if looks.pattern != "plain" else "",
        looks.inner_colour if looks.top in ("jacket", "coat") else "",
        looks.logo,
        looks.bottom,
        looks.bottom_colour,
        looks.legs if "skirt" not in looks.bottom else "",
        looks.shoes,
        looks.bag,
        looks.bag_colour if looks.bag != "none" else "",
        looks.hair if looks.hat in ("none", "cap") else "",
        looks.hair_colour,
        looks.hat,
        looks.hat_colour if looks.hat not in ("none", "hood") else "",
        looks.skin,
    )


def difference(one: Looks, other: Looks) -> int:
    """In how many visible attributes two people differ."""
    return sum(a != b for a, b in zip(visible(one), visible(other), strict=True))


def _sample(draws: Draws, seed: int) -> Identity:
    return Identity(
        looks=_looks(draws, seed),
        build=draws.bell(1.0, 0.10),
        shoulders=draws.bell(1.0, 0.06),
        legs=draws.bell(1.0, 0.025),
        head=draws.bell(1.0, 0.05),
        shade=draws.uniform(0.86, 1.12),
    )


def sample_identities(seed: int, count: int) -> list[Identity]:
    """The identities 1 to ``count`` of a seed; a longer list starts with the shorter one.

    Any two differ in at least three visible attributes (as far as 200 attempts can tell).
    """
    found: list[Identity] = []
    seen: list[tuple[object, ...]] = []
    for pid in range(1, count + 1):
        for attempt in range(_ATTEMPTS):
            candidate = _sample(Draws(seed, STREAM_IDENTITY, pid, attempt), seed)
            view = visible(candidate.looks)
            if all(_differ(view, earlier) for earlier in seen):
                break
        found.append(candidate)
        seen.append(view)
    return found


def _differ(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return sum(a != b for a, b in zip(one, other, strict=True)) >= _LEAST_DIFFERENCE


def sample_stranger(seed: int, *key: int) -> Identity:
    """A passer-by outside the list of identities."""
    return _sample(Draws(seed, STREAM_STRANGER, *key), seed)
