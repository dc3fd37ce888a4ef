"""Times of layers: the JSON of ``trtexec --exportProfile``, joined with the engine's layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgereid.bench.inspect.json_text import parse, time_of
from edgereid.bench.inspect.layers import MAX_LAYERS, EngineLayer
from edgereid.errors import InputError


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """Name and milliseconds a run of each layer, in the order told; names may repeat. ``statistic``
    is "median" or "mean"; ``runs`` None where it is not told."""

    rows: tuple[tuple[str, float], ...]
    runs: int | None
    statistic: str


def layer_times(text: str, source: str) -> LayerTimes:
    """Parse a profile. Raises InputError, naming ``source``."""
    return from_value(parse(text, source), source)


def is_profile(value: Any) -> bool:
    """Whether a JSON value is of the profile's kind: a list of records with name and time."""
    return (
        isinstance(value, list)
        and all(isinstance(row, dict) for row in value)
        and any("name" in row and ("averageMs" in row or "medianMs" in row) for row in value)
    )


def from_value(value: Any, source: str) -> LayerTimes:
    """As ``layer_times``, of a JSON value that was parsed already."""
    if not is_profile(value):
        raise InputError(f"{source} is no profile of layers, as trtexec --exportProfile writes it.")
    if len(value) > MAX_LAYERS + 1:
        raise InputError(f"{source} has {len(value):,} rows: more than {MAX_LAYERS:,}.")
    entries = [row for row in value if "name" in row]
    key = "medianMs" if all("medianMs" in row for row in entries) else "averageMs"
    rows = []
    for row in entries:
        where = f"{source}, {row['name']!r:.60}"
        ms = time_of(row, key, where)
        if not isinstance(row["name"], str) or ms is None:
            raise InputError(f"{where}: a name and {key!r} are needed.")
        rows.append((row["name"], ms))
    return LayerTimes(tuple(rows), _runs(value, source), "median" if key == "medianMs" else "mean")


def _runs(value: list[dict[str, Any]], source: str) -> int | None:
    counts = [row["count"] for row in value if "count" in row and "name" not in row]
    if not counts:
        return None
    if len(counts) != 1 or type(counts[0]) is not int or counts[0] < 1:
        raise InputError(f"{source}: the number of runs is {counts!r:.60}.")
    return counts[0]


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of each layer, in their order, None where it is not told; and why some are
    not."""

    ms: tuple[float | None, ...]
    trouble: str = ""


def join_times(layers: Sequence[EngineLayer], times: LayerTimes) -> Timed:
    """Give each layer its time by its name.

    A profile with a name that the engine does not have is of another build: none of its times is
    used. A name that repeats has no clear time, unless both list the same names in the same order.
    """
    names = [layer.name for layer in layers]
    told = [name for name, _ in times.rows]
    if names == told:
        return Timed(tuple(ms for _, ms in times.rows))
    nothing = (None,) * len(layers)
    foreign = [name for name in dict.fromkeys(told) if name not in set(names)]
    if foreign:
        return Timed(
            nothing,
            f"the profile is of another build: {len(foreign)} of the {len(set(told))} layers it "
            f"times are not in the engine ({foreign[0]!r:.60} is the first), so no time is used",
        )
    repeated = {n for count in (Counter(names), Counter(told)) for n, k in count.items() if k > 1}
    known = {name: ms for name, ms in times.rows if name not in repeated}
    lost = sorted(repeated & set(told))
    trouble = (
        f"{len(lost)} names repeat, so that their times are not known ({lost[0]!r:.60} is the "
        "first)"
        if lost
        else ""
    )
    return Timed(tuple(known.get(name) for name in names), trouble)
