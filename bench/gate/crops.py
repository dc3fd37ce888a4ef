"""A user's own crops, without labels: the image files of a folder."""

from __future__ import annotations

import os
from pathlib import Path

from edgereid.errors import InputError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"}
#: The first ones by name: a certificate compares each with all others.
MOST = 1000
LEAST = 3


def crops_of(folder: Path) -> list[Path]:
    """The image files below ``folder``, by name, at most ``MOST``; links to folders are not
    followed. Raises InputError when there are fewer than three."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name the one that holds the unlabelled crops.")
    found = [
        Path(home, name)
        for home, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    ]
    if len(found) < LEAST:
        raise InputError(
            f"{folder} holds {len(found)} images ({', '.join(sorted(SUFFIXES))}): a certificate "
            f"needs {LEAST} at least."
        )
    return sorted(found)[:MOST]
