"""JSON that TensorRT wrote: read with care, as it is no file of ours.

TensorRT's own writer is laxer than JSON: control characters stand in names, a statistic may be NaN.
Such things are let pass where nothing is read from them, and refused where something is.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from edgereid.errors import InputError
from edgereid.files import MAX_JSON_BYTES

#: Keys that are read; one that occurs twice in an object has no clear value.
_READ = frozenset(
    {"Layers", "Name", "LayerType", "Inputs", "Outputs", "Constants", "Format/Datatype", "Datatype"}
    | {"DataType", "Weights", "ConvWeights", "Type", "TacticName", "TacticValue", "Metadata"}
    | {"Origin", "I/O Tensors", "Bindings", "IOMode", "Dimensions"}
    | {"name", "count", "averageMs", "medianMs", "timeMs"}
)


def read_text(path: Path) -> str:
    """The text of a file. Raises InputError when it is missing, too large or no text."""
    try:
        with path.open("rb") as f:
            data = f.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    if len(data) > MAX_JSON_BYTES:
        limit = MAX_JSON_BYTES // 2**20
        raise InputError(f"{path} is larger than {limit} MiB: no file of trtexec.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text: give JSON or a log of trtexec, or a plan.") from error


def parse(text: str, source: str) -> Any:
    """The value of a JSON text; NaN and infinity are None. Raises InputError, naming ``source``."""
    try:
        return json.loads(
            text, strict=False, parse_constant=lambda _: None, object_pairs_hook=_pairs
        )
    except ValueError as error:
        raise InputError(f"{source} is not valid JSON (cut off?): {error}.") from error
    except RecursionError as error:
        raise InputError(f"{source} is not valid JSON: it is nested too deeply.") from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and key in _READ:
            raise ValueError(f"the key {key!r} occurs twice in one object")
        found[key] = value
    return found


def text_of(entry: dict[str, Any], key: str, where: str) -> str:
    """A text field; "" where it is absent. Raises InputError when it is something else."""
    value = entry.get(key, "")
    if not isinstance(value, str):
        raise InputError(f"{where}: {key!r} is {value!r:.60}, not a text.")
    return value


def objects_of(entry: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """A list of objects; empty where it is absent. Raises InputError when it is no such list."""
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"{where}: {key!r} is no list of objects.")
    return value


def time_of(entry: dict[str, Any], key: str, where: str) -> float | None:
    """Milliseconds; None where the key is absent. Raises InputError unless finite and >= 0."""
    if key not in entry:
        return None
    value = entry[key]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise InputError(f"{where}: {key!r} is {value!r:.40}, no time in milliseconds.")
    return float(value)
