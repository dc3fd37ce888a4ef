"""Random variations of a training image, NumPy and Pillow only.

Each function takes its own random generator, which the caller derives from (seed, epoch, position),
so the result depends neither on the number of loader threads nor on where a run was resumed.
Colour changes and normalisation together are one table of 256 entries a channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgereid.images import Preprocessing

Float = NDArray[np.float32]

_STREAM = 0xA06


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much an image is varied; all zero: not at all.

    ``flip`` and ``erase`` are probabilities; ``zoom`` z cuts a window of 1/(1+z) of the image at a
    random place (the field's "resize by 1.125, then crop" is 0.125); ``pad`` shifts by up to this
    part of the height; ``brightness``, ``contrast`` and ``gain`` (one factor a channel: a colour
    cast) are half-widths of a factor around 1; ``erase_area`` and ``erase_aspect`` are ranges
    (Zhong et al., "Random Erasing Data Augmentation"); the rectangle gets a random colour or, with
    ``erase_mean``, the mean colour.
    """

    flip: float = 0.5
    zoom: float = 0.0
    pad: float = 0.0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.4)
    erase_aspect: tuple[float, float] = (0.3, 3.3)
    erase_mean: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    gain: float = 0.0


def generator(seed: int, epoch: int, position: int) -> np.random.Generator:
    """The generator of the image at ``position`` in the epoch's order."""
    return np.random.default_rng((seed, epoch, position, _STREAM))


def colour_table(
    mean_level: float, options: Augmentation, preprocessing: Preprocessing, rng: np.random.Generator
) -> Float:
    """(3, 256) float32: pixel value 0..255 -> normalised value after a random colour change.

    ``mean_level`` (0..1) is the image's mean, around which the contrast is changed.
    """
    low, high = 1 - options.gain, 1 + options.gain
    factor = rng.uniform(low, high, 3) * rng.uniform(1 - options.brightness, 1 + options.brightness)
    contrast = rng.uniform(1 - options.contrast, 1 + options.contrast)
    values = np.arange(256) / 255.0
    changed = ((values * factor[:, None]) - mean_level) * contrast + mean_level
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    table: Float = ((changed.clip(0.0, 1.0) - mean[:, None]) / std[:, None]).astype(np.float32)
    return table


def apply_table(pixels: NDArray[np.uint8], table: Float) -> Float:
    """(H, W, 3) uint8 -> (H, W, 3) float32 through the channel's row of ``table``."""
    return table.reshape(-1)[pixels + np.array([0, 256, 512], dtype=np.int64)]


def zoom_box(
    width: int, height: int, zoom: float, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """A random window (left, top, right, bottom) of 1/(1+zoom) of the image."""
    w, h = width / (1 + zoom), height / (1 + zoom)
    left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return left, top, left + w, top + h


def shift(x: Float, pad: int, rng: np.random.Generator) -> Float:
    """Pad (H, W, 3) by ``pad`` pixels of the mean colour on all sides, cut H x W at random."""
    height, width = x.shape[:2]
    dy, dx = (int(v) for v in rng.integers(-pad, pad, 2, endpoint=True))
    out = np.zeros_like(x)
    rows, columns = height - abs(dy), width - abs(dx)
    if rows > 0 and columns > 0:
        to, frm = (max(dy, 0), max(dx, 0)), (max(-dy, 0), max(-dx, 0))
        out[to[0] : to[0] + rows, to[1] : to[1] + columns] = x[
            frm[0] : frm[0] + rows, frm[1] : frm[1] + columns
        ]
    return out


def erase(x: Float, options: Augmentation, rng: np.random.Generator) -> None:
    """Fill one random rectangle of (H, W, 3) in place with one colour (ten tries to fit)."""
    height, width = x.shape[:2]
    for _ in range(10):
        area = rng.uniform(*options.erase_area) * height * width
        aspect = np.exp(rng.uniform(*np.log(options.erase_aspect)))
        h, w = round(float(np.sqrt(area * aspect))), round(float(np.sqrt(area / aspect)))
        if 0 < h < height and 0 < w < width:
            top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            x[top : top + h, left : left + w] = 0.0 if options.erase_mean else rng.normal(size=3)
            return


def augment(
    image: Image.Image,
    options: Augmentation,
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> Float:
    """A varied, resized, normalised image: (H, W, 3) float32 in the network's colour order."""
    size = (preprocessing.width, preprocessing.height)
    box = zoom_box(image.width, image.height, options.zoom, rng)
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box), dtype=np.uint8)
    if preprocessing.color == "BGR":
        pixels = pixels[..., ::-1]
    if rng.random() < options.flip:
        pixels = pixels[:, ::-1]
    x = apply_table(pixels, colour_table(float(pixels.mean()) / 255, options, preprocessing, rng))
    x = shift(x, round(options.pad * preprocessing.height), rng)
    if rng.random() < options.erase:
        erase(x, options, rng)
    return x
