"""Taking a picture: what a camera does to colours, where the detector cuts, what is in the way."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from edgereid.data.synth import background
from edgereid.data.synth.draw import paint_person
from edgereid.data.synth.draws import Draws
from edgereid.data.synth.garments import tint
from edgereid.data.synth.identity import (
    CLOTH,
    STREAM_CAMERA,
    STREAM_IMAGE,
    STREAM_TRACK,
    Identity,
    sample_stranger,
)
from edgereid.data.synth.view import Place, Pose

#: Size of an image in pixels, as in Market-1501; figures are painted at twice that.
IMAGE_WIDTH, IMAGE_HEIGHT = 64, 128
_FINE_WIDTH, _FINE_HEIGHT = 2 * IMAGE_WIDTH, 2 * IMAGE_HEIGHT
_LUMA = np.array([[0.299, 0.587, 0.114]])


@dataclass(frozen=True, slots=True)
class Character:
    """What sets a camera apart; angles in radians, ``cast`` a gain per colour channel.

    ``saturation`` 0 is monochrome, ``haze`` is light added everywhere (0..255), ``detail`` the
    share of the resolution that is left, ``heading`` the way most people walk there.
    """

    cast: tuple[float, float, float]
    gain: float
    gamma: float
    saturation: float
    haze: float
    detail: float
    heading: float
    spread: float
    pitch: float
    quality: int


_CHARACTERS = (
    Character((1.03, 1.00, 0.96), 1.02, 1.00, 1.05, 2, 0.90, 0.0, 0.9, 0.10, 86),
    Character((1.18, 0.99, 0.74), 0.95, 1.10, 0.88, 5, 0.72, math.pi, 0.8, 0.22, 75),
    Character((0.80, 0.94, 1.19), 0.76, 0.96, 0.52, 10, 0.62, 1.6, 1.0, 0.16, 66),
    Character((0.90, 1.11, 0.92), 1.08, 0.86, 0.76, 14, 0.76, 2.5, 1.3, 0.05, 78),
    Character((1.12, 0.91, 1.08), 0.86, 1.16, 0.85, 2, 0.68, 4.6, 1.0, 0.20, 71),
    Character((1.00, 1.00, 1.00), 0.70, 0.82, 0.30, 14, 0.58, 3.6, 1.2, 0.12, 62),
)


@lru_cache(maxsize=16)
def camera_character(seed: int, camera: int) -> Character:
    """The character of camera 1, 2, ... of a seed: one of the six above, varied a little."""
    base = _CHARACTERS[(camera - 1) % len(_CHARACTERS)]
    draws = Draws(seed, STREAM_CAMERA, camera)
    red, green, blue = (value * draws.uniform(0.95, 1.05) for value in base.cast)
    return Character(
        cast=(red, green, blue),
        gain=base.gain * draws.uniform(0.95, 1.05),
        gamma=base.gamma * draws.uniform(0.95, 1.05),
        saturation=base.saturation,
        haze=base.haze,
        detail=base.detail,
        heading=base.heading + draws.uniform(-0.3, 0.3),
        spread=base.spread,
        pitch=base.pitch,
        quality=base.quality,
    )


@dataclass(frozen=True, slots=True)
class Shot:
    """One image to be taken. ``who`` is None where the detector saw nobody; ``serial`` numbers
    the images of one stream of random numbers; ``spoilt`` asks for a bad crop."""

    stream: int
    who: Identity | None
    camera: int
    serial: int
    spoilt: bool = False


def _pole(draw: ImageDraw.ImageDraw, draws: Draws) -> None:
    x, wide = draws.below(_FINE_WIDTH), 10 + draws.below(20)
    colour = tint(CLOTH[draws.choice(tuple(CLOTH))], draws.uniform(0.6, 1.0))
    draw.rectangle((x, 0, x + wide, _FINE_HEIGHT), fill=colour)
    draw.rectangle((x, 0, x + wide // 3, _FINE_HEIGHT), fill=tint(colour, 0.75))


def _cart(draw: ImageDraw.ImageDraw, draws: Draws) -> None:
    x, top = draws.below(_FINE_WIDTH) - 50, _FINE_HEIGHT - 70 - draws.below(70)
    colour = tint(CLOTH[draws.choice(tuple(CLOTH))], 0.9)
    draw.rounded_rectangle((x, top, x + 100, _FINE_HEIGHT - 24), 8, fill=colour)
    for bar in range(x + 8, x + 96, 14):
        draw.line((bar, top + 6, bar, _FINE_HEIGHT - 30), fill=tint(colour, 0.6), width=3)
    for wheel in (x + 14, x + 84):
        box = (wheel - 11, _FINE_HEIGHT - 26, wheel + 11, _FINE_HEIGHT - 4)
        draw.ellipse(box, fill=(26, 26, 28))


def _hedge(draw: ImageDraw.ImageDraw, draws: Draws) -> None:
    top = _FINE_HEIGHT - 30 - draws.below(70)
    for _ in range(40):
        x, y, r = draws.below(_FINE_WIDTH), top + draws.below(90), 8 + draws.below(14)
        colour = (40 + draws.below(50), 78 + draws.below(60), 40 + draws.below(36))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _rail(draw: ImageDraw.ImageDraw, draws: Draws) -> None:
    y, tall = 130 + draws.below(90), 8 + draws.below(12)
    colour = tint(CLOTH[draws.choice(tuple(CLOTH))], 0.9)
    draw.rectangle((0, y, _FINE_WIDTH, y + tall), fill=colour)
    draw.rectangle((0, y + 34, _FINE_WIDTH, y + 34 + tall // 2), fill=tint(colour, 0.8))


_OBSTACLES: tuple[Callable[[ImageDraw.ImageDraw, Draws], None], ...] = (_pole, _cart, _hedge, _rail)


def _pose(draws: Draws, camera: Character, heading: float) -> Pose:
    return Pose(
        heading=heading,
        phase=draws.uniform(0.0, 2.0 * math.pi),
        stride=draws.uniform(0.08, 0.55),
        pitch=max(0.0, camera.pitch + draws.bell(0.0, 0.04)),
        light=draws.uniform(-0.8, 0.8),
    )


def _place(draws: Draws, spoilt: bool) -> Place:
    """Where the detector's box puts the figure: jittered, and now and then badly."""
    bad = spoilt or draws.chance(0.05)
    height = 0.93 * _FINE_HEIGHT * draws.bell(1.0, 0.04)
    x = _FINE_WIDTH * (0.5 + draws.bell(0.0, 0.04))
    soles = _FINE_HEIGHT * (0.97 + draws.bell(0.0, 0.02))
    if bad:
        worst = 2.0 if spoilt else 1.3
        height *= draws.uniform(1.1, worst)
        x += _FINE_WIDTH * draws.uniform(-0.2, 0.2) * worst
        soles += (height - 0.9 * _FINE_HEIGHT) * draws.uniform(0.0, 1.0)
    return Place(x, soles, height)


def _backdrop(seed: int, draws: Draws, camera: int) -> Image.Image:
    zoom = draws.uniform(0.75, 1.25)
    wide, tall = round(_FINE_WIDTH * zoom), round(_FINE_HEIGHT * zoom)
    x = draws.below(background.WIDTH - wide)
    y = draws.below(background.HEIGHT - tall)
    picture = background.place(seed, camera).resize(
        (_FINE_WIDTH, _FINE_HEIGHT), Image.Resampling.BILINEAR, (x, y, x + wide, y + tall)
    )
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draws.chance(0.3) else picture


def _company(canvas: Image.Image, seed: int, shot: Shot, draws: Draws, camera: Character) -> None:
    """Another person beside the box: behind (before the figure is painted) or in front."""
    stranger = sample_stranger(seed, shot.stream, shot.camera, shot.serial, draws.below(1000))
    side = draws.choice((-1.0, 1.0))
    height = 0.9 * _FINE_HEIGHT * draws.uniform(0.8, 1.1)
    where = Place(
        _FINE_WIDTH * (0.5 + side * draws.uniform(0.3, 0.55)),
        _FINE_HEIGHT * draws.uniform(0.9, 1.05),
        height,
    )
    paint_person(canvas, stranger, _pose(draws, camera, draws.uniform(0.0, 6.28)), where)


def _develop(picture: Image.Image, camera: Character, draws: Draws) -> NDArray[np.uint8]:
    """What lens and sensor make of the scene: detail, cast, gain, gamma, haze and noise."""
    detail = min(1.0, camera.detail * draws.uniform(0.75, 1.2))
    low = (max(16, round(IMAGE_WIDTH * detail)), max(32, round(IMAGE_HEIGHT * detail)))
    small = picture.resize(low, Image.Resampling.BOX).resize(
        (IMAGE_WIDTH, IMAGE_HEIGHT), Image.Resampling.BILINEAR
    )
    if draws.chance(0.25):
        small = small.filter(ImageFilter.GaussianBlur(draws.uniform(0.4, 0.9)))
    saturation = camera.saturation * draws.uniform(0.8, 1.15)
    mix = saturation * np.eye(3) + (1.0 - saturation) * np.repeat(_LUMA, 3, axis=0)
    cast = np.array([value * draws.bell(1.0, 0.025) for value in camera.cast])
    gain = camera.gain * draws.bell(1.0, 0.07)
    matrix = (cast[:, None] * mix * gain).astype(np.float32)
    pixels = np.asarray(small, dtype=np.float32).reshape(-1, 3) @ matrix.T
    slope = draws.uniform(-0.15, 0.15)
    ramp = np.linspace(1.0 - slope, 1.0 + slope, IMAGE_HEIGHT, dtype=np.float32)
    pixels = pixels.reshape(IMAGE_HEIGHT, IMAGE_WIDTH, 3) * ramp[:, None, None]
    gamma = camera.gamma * draws.bell(1.0, 0.04)
    curve = 255.0 * (np.arange(256) / 255.0) ** gamma
    curve = camera.haze + curve * (255.0 - camera.haze) / 255.0
    toned = curve.astype(np.float32)[np.clip(pixels, 0, 255).astype(np.uint8)]
    grain = draws.noise(IMAGE_HEIGHT, IMAGE_WIDTH, 1) * np.float32(draws.uniform(1.0, 4.0))
    return np.asarray(np.clip(toned + grain, 0, 255), dtype=np.uint8)


def take(seed: int, shot: Shot) -> bytes:
    """One image as the bytes of a JPEG file, 64 x 128."""
    camera = camera_character(seed, shot.camera)
    draws = Draws(seed, STREAM_IMAGE, shot.stream, shot.camera, shot.serial)
    canvas = _backdrop(seed, draws, shot.camera)
    # A person crosses a camera's view once: the images of one camera share about one heading.
    track = Draws(seed, STREAM_TRACK, shot.stream, shot.camera)
    heading = track.bell(camera.heading, camera.spread) + draws.bell(0.0, 0.35)
    if draws.chance(0.22):
        _company(canvas, seed, shot, draws, camera)
    if shot.who is not None:
        place = _place(draws, shot.spoilt)
        shadow = (place.x - 60, place.soles - 14, place.x + 60, place.soles + 4)
        ImageDraw.Draw(canvas).ellipse(shadow, fill=(60, 58, 58))
        paint_person(canvas, shot.who, _pose(draws, camera, heading), place)
    if draws.chance(0.45 if shot.spoilt else 0.14):
        draws.choice(_OBSTACLES)(ImageDraw.Draw(canvas), draws)
    if draws.chance(0.3 if shot.spoilt else 0.06):
        _company(canvas, seed, shot, draws, camera)
    file = io.BytesIO()
    quality = camera.quality + draws.below(11) - 5
    Image.fromarray(_develop(canvas, camera, draws)).save(file, "JPEG", quality=quality)
    return file.getvalue()
