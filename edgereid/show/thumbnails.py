"""Small pictures as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgereid.images import decode

HEIGHT = 144  # pixels; shown at 128 high, sharp enough at twice the density for small crops
_MAX_WIDTH = 144
_QUALITY = 82


def thumbnail(path: Path) -> str:
    """The image file as a JPEG data URI; raises InputError when it cannot be decoded."""
    return _encode(_fitted(decode(path)))


def overlay(path: Path, heat: NDArray[np.float32]) -> str:
    """The image under a heat map (h, w) of 0..1, as a JPEG data URI."""
    image = _fitted(decode(path))
    small = Image.fromarray(np.uint8(np.clip(heat, 0, 1) * 255))
    level = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC), dtype=np.float64) / 255
    grey = np.asarray(image.convert("L"), dtype=np.float64)[..., None]
    mixed = 0.45 * grey + 0.55 * _colours(level)
    return _encode(Image.fromarray(np.uint8(np.clip(mixed, 0, 255))))


def _fitted(image: Image.Image) -> Image.Image:
    width = max(1, min(_MAX_WIDTH, round(image.width * HEIGHT / image.height)))
    return image.resize((width, HEIGHT), Image.Resampling.BICUBIC)


def _encode(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


#: Corners of a map whose lightness rises evenly from dark blue over red to pale yellow.
_CORNERS = np.array(
    [[0, 0, 20], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]],
    dtype=np.float64,
)


def _colours(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W) of 0..1 -> (H, W, 3) of 0..255."""
    at = np.linspace(0, 1, len(_CORNERS))
    return np.stack([np.interp(level, at, _CORNERS[:, c]) for c in range(3)], axis=-1)
