"""Places: one wide picture per camera, from which the background of every image is cut.

A place has ground and wall, and holds things in the colours that people wear (posters, doors,
cars, bushes), so the colours of an image say little about the person on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from edgereid.data.synth.draws import Draws
from edgereid.data.synth.garments import tint
from edgereid.data.synth.identity import CLOTH, STREAM_BACKGROUND, Colour

#: Size of a place in pixels; an image is cut from it at 128 x 256.
WIDTH, HEIGHT = 1100, 420
_HORIZON = (130, 230)


@dataclass(frozen=True, slots=True)
class _Style:
    ground: tuple[Colour, ...]
    wall: tuple[Colour, ...]
    things: tuple[str, ...]
    tiles: bool


_STYLES = (
    _Style(((150, 146, 140), (120, 118, 116)), ((176, 168, 150), (140, 120, 104)),
           ("door", "window", "poster", "car", "pole"), False),
    _Style(((98, 122, 74), (150, 140, 118)), ((120, 142, 110), (160, 176, 190)),
           ("bush", "trunk", "bench", "bush", "poster"), False),
    _Style(((186, 182, 174), (160, 154, 146)), ((206, 202, 196), (150, 152, 160)),
           ("poster", "window", "poster", "door", "pole"), True),
    _Style(((118, 112, 108), (140, 128, 116)), ((96, 92, 96), (128, 100, 86)),
           ("car", "window", "bush", "door", "poster"), True),
)  # fmt: skip


def _cloth(draws: Draws) -> Colour:
    """A colour that people wear, faded as paint outdoors is."""
    colour, fade = CLOTH[draws.choice(tuple(CLOTH))], draws.uniform(0.3, 0.75)
    red, green, blue = (round(fade * 136 + (1.0 - fade) * value) for value in colour)
    return (red, green, blue)


def _door(draw: ImageDraw.ImageDraw, draws: Draws, x: int, base: int) -> None:
    wide, tall = 40 + draws.below(40), 110 + draws.below(70)
    colour = _cloth(draws)
    draw.rectangle(
        (x, base - tall, x + wide, base), fill=colour, outline=tint(colour, 0.6), width=3
    )


def _window(draw: ImageDraw.ImageDraw, draws: Draws, x: int, base: int) -> None:
    wide, tall = 50 + draws.below(70), 40 + draws.below(60)
    y = base - tall - 30 - draws.below(40)
    glass = draws.choice(((60, 74, 88), (120, 150, 170), (36, 40, 46), (210, 214, 200)))
    draw.rectangle((x, y, x + wide, y + tall), fill=glass, outline=(210, 206, 198), width=4)
    draw.line((x + wide // 2, y, x + wide // 2, y + tall), fill=(210, 206, 198), width=3)


def _poster(draw: ImageDraw.ImageDraw, draws: Draws, x: int, base: int) -> None:
    wide, tall = 30 + draws.below(60), 40 + draws.below(70)
    y = base - tall - draws.below(70)
    draw.rectangle((x, y, x + wide, y + tall), fill=_cloth(draws))
    for _ in range(3):
        line = y + 6 + draws.below(max(1, tall - 14))
        draw.rectangle((x + 5, line, x + wide - 5, line + 4 + draws.below(8)), fill=_cloth(draws))


def _car(draw: ImageDraw.ImageDraw, draws: Draws, x: int, base: int) -> None:
    wide, tall = 120 + draws.below(60), 46 + draws.below(16)
    colour, y = _cloth(draws), base + 10 + draws.below(24)
    draw.rounded_rectangle((x + 24, y - tall - 30, x + wide - 30, y - tall + 12), 14, fill=colour)
    draw.rectangle((x + 36, y - tall - 22, x + wide - 42, y - tall), fill=(50, 60, 70))
    draw.rounded_rectangle((x, y - tall, x + wide, y), 12, fill=tint(colour, 0.9))
    for wheel in (x + 24, x + wide - 30):
        draw.ellipse((wheel - 13, y - 14, wheel + 13, y + 12), fill=(28, 28, 30))


def _pole(draw: ImageDraw.ImageDraw, draws: Draws, x: int, base: int) -> None:
    draw.rectangle((x, 0, x + 7 + draws.below(8), base + 30), fill=_cloth(draws))


def _bush(draw: ImageDraw.ImageDraw, draws: Draws, x: int, base: int) -> None:
    for _ in range(14):
        cx, cy, r = x + draws.below(90), base - draws.below(60), 10 + draws.below(18)
        colour = (40 + draws.below(50), 80 + draws.below(60), 40 + draws.below(36))
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=colour)


def _trunk(draw: ImageDraw.ImageDraw, draws: Draws, x: int, base: int) -> None:
    wide = 14 + draws.below(22)
    draw.rectangle((x, 0, x + wide, base + 20), fill=(92, 72, 54))
    draw.rectangle((x, 0, x + wide // 3, base + 20), fill=(74, 58, 44))


def _bench(draw: ImageDraw.ImageDraw, draws: Draws, x: int, base: int) -> None:
    colour = _cloth(draws)
    for y in (base - 34, base - 22, base):
        draw.rectangle((x, y, x + 100, y + 7), fill=colour)
    for leg in (x + 8, x + 88):
        draw.rectangle((leg, base - 34, leg + 6, base + 26), fill=tint(colour, 0.5))


_THINGS: dict[str, Callable[[ImageDraw.ImageDraw, Draws, int, int], None]] = {
    "door": _door, "window": _window, "poster": _poster, "car": _car, "pole": _pole,
    "bush": _bush, "trunk": _trunk, "bench": _bench,
}  # fmt: skip


def _ground_lines(draw: ImageDraw.ImageDraw, horizon: int, colour: Colour) -> None:
    for x in range(-WIDTH, 2 * WIDTH, 70):
        draw.line((WIDTH // 2 + (x - WIDTH // 2) // 3, horizon, x, HEIGHT), fill=colour, width=2)
    y, step = float(horizon), 8.0
    while y < HEIGHT:
        draw.line((0, y, WIDTH, y), fill=colour, width=2)
        y, step = y + step, step * 1.35


@lru_cache(maxsize=16)
def place(seed: int, camera: int) -> Image.Image:
    """The place that a camera looks at, RGB, WIDTH x HEIGHT; treat it as read-only."""
    draws = Draws(seed, STREAM_BACKGROUND, camera)
    style = _STYLES[(camera - 1) % len(_STYLES)]
    horizon = _HORIZON[0] + draws.below(_HORIZON[1] - _HORIZON[0])
    wall, ground = draws.choice(style.wall), draws.choice(style.ground)
    image = Image.new("RGB", (WIDTH, HEIGHT), wall)
    draw = ImageDraw.Draw(image)
    x = -40
    while x < WIDTH:
        wide = 60 + draws.below(200)
        shade = tint(wall, draws.uniform(0.75, 1.2))
        draw.rectangle((x, 0, x + wide, horizon), fill=shade)
        x += wide
    draw.rectangle((0, horizon, WIDTH, HEIGHT), fill=ground)
    if style.tiles:
        _ground_lines(draw, horizon, tint(ground, 0.82))
    for _ in range(6):
        px, py = draws.below(WIDTH), horizon + draws.below(HEIGHT - horizon)
        draw.ellipse(
            (px - 90, py - 14, px + 90, py + 14), fill=tint(ground, draws.uniform(0.75, 1.12))
        )
    x = -20
    while x < WIDTH:
        _THINGS[draws.choice(style.things)](draw, draws, x, horizon)
        x += 30 + draws.below(90)
    grain = draws.noise(HEIGHT // 4, WIDTH // 4)
    rough = Image.fromarray(np.clip(128 + 22 * grain, 0, 255).astype(np.uint8))
    texture = np.asarray(rough.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR), dtype=np.int16)
    pixels = np.asarray(image, dtype=np.int16) + (texture - 128)[:, :, None] // 2
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(1.4)
    )
