"""What a file of weights says about itself: ``.safetensors`` metadata, written by training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open

from edgereid.errors import InputError
from edgereid.models.registry import InputSpec

_SIZE = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})", re.ASCII)


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; raises what safetensors and the system raise."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def metadata_for(network: str, size: tuple[int, int]) -> dict[str, str]:
    """Metadata of weights of a registered network, trained with images of (height, width)."""
    return {"input": f"{size[0]}x{size[1]}", "network": network}


def input_of(metadata: Mapping[str, str], known: InputSpec, path: Path) -> InputSpec:
    """``known``, the input of the network, with the image size that the weights were trained at
    where they tell. Raises InputError when what they tell is no size."""
    stated = metadata.get("input")
    if stated is None:
        return known
    found = _SIZE.fullmatch(stated)
    if found is None:
        raise InputError(
            f"{path} says that its images are {stated[:20]!r}: HEIGHTxWIDTH in pixels is allowed."
        )
    return replace(known, height=int(found[1]), width=int(found[2]))
