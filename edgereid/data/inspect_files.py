"""What one image file is like: readable, and anything about it that a crop should not have."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from edgereid.data.check import read_image_file
from edgereid.errors import InputError
from edgereid.images import FORMATS, decode_bytes

#: A side below this many pixels shows no person.
SMALLEST_SIDE = 16
#: Longer side over shorter: crops of persons lie between 1 and 5.
LARGEST_ASPECT = 6.0
#: Modes that need no conversion of colours.
_PLAIN_MODES = ("RGB", "L")
_EXIF_ORIENTATION = 0x0112
#: The signature of PNG, and where the bits a channel stand behind it.
_PNG, _PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file: why it is unreadable (None: it can be read), the digest of its bytes (None: those
    could not be read), and ``traits``: (kind of finding, detail) of what is odd about it."""

    path: Path
    reason: str | None
    digest: bytes | None
    traits: tuple[tuple[str, str], ...] = ()


def inspect_file(path: Path) -> Inspected:
    """Read and decode a file; never raises for what the file holds."""
    try:
        data = read_image_file(path)
    except InputError as error:
        return Inspected(path, str(error), None)
    digest = hashlib.sha256(data).digest()
    try:
        image = decode_bytes(data, path)
    except InputError as error:
        return Inspected(path, str(error), digest)
    return Inspected(path, None, digest, tuple(_traits(data, image)))


def _traits(data: bytes, image: Image.Image) -> list[tuple[str, str]]:
    """``data`` was decoded to ``image``, so its header can be read."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as header:
        mode, orientation = header.mode, _orientation(header)
    size = f"{image.width}x{image.height}"
    short, long = sorted(image.size)
    found = []
    if short < SMALLEST_SIDE:
        found.append(("tiny", f"{size} pixels"))
    elif long / short > LARGEST_ASPECT:
        found.append(("aspect", f"{size} pixels"))
    if mode not in _PLAIN_MODES:
        found.append(("mode", f"mode {mode} is converted to RGB"))
    if data.startswith(_PNG) and data[_PNG_DEPTH] > 8:  # Pillow says RGB and drops the lower half
        found.append(("mode", f"{data[_PNG_DEPTH]} bits a channel are cut to 8"))
    if orientation != 1:
        found.append(("rotated", f"EXIF orientation {orientation}"))
    if short >= SMALLEST_SIDE and image.getcolors(1) is not None:  # None: more than one colour
        found.append(("flat", f"all pixels are {image.getpixel((0, 0))}"))
    return found


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 (upright) where none is given or the block is damaged."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block does not keep the pixels from being decoded
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
