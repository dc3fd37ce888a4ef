"""The table of devices: peak rates, bandwidth and power, each figure with its source.

Rates are dense, never with structured sparsity, and of the GPU alone, without the DLA. The files
print operations; 1 MAC is 2 operations.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgereid.errors import UsageError
from edgereid.files import read_json

FILE = Path(__file__).with_name("devices.json")
#: The family of modules with one memory for both processors; the others are "desktop".
JETSON = "jetson"
#: Architectures whose matrix units are of the first generations.
EARLY = ("volta", "turing")
PRECISIONS = ("f32", "f16", "int8")
#: The figure of the file that holds the rate of a precision, in 1e12 operations a second.
RATES = {"f32": "f32_tflops", "f16": "f16_tflops", "int8": "int8_tops"}
FIGURES = (*RATES.values(), "bandwidth_gb_s", "watts")


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures of a device come from: the words of the page, its address, the day read."""

    fields: tuple[str, ...]
    quote: str
    url: str
    read: str


@dataclass(frozen=True, slots=True)
class Device:
    """One device in one power mode; ``board``: the same of a board at all its clocks.

    ``peaks``: MACs a second by precision, only of those it has; ``tensor_cores``: the precisions
    that matrix units compute; ``bandwidth``: bytes a second; ``watts``: the largest budget the
    maker states for the module; ``derived``: how a figure was worked out."""

    name: str
    board: str
    title: str
    family: str
    architecture: str
    peaks: dict[str, float]
    tensor_cores: tuple[str, ...]
    bandwidth: float
    watts: float
    power_mode: str
    derived: dict[str, str]
    sources: tuple[Source, ...]

    @property
    def precisions(self) -> tuple[str, ...]:
        return tuple(p for p in PRECISIONS if p in self.peaks)

    def require(self, precision: str) -> None:
        """Raises UsageError where the device has no such arithmetic."""
        if precision not in self.peaks:
            raise UsageError(
                f"no rate of {precision} is known for {self.name}: choose "
                f"{' or '.join(self.precisions)}."
            )


@cache
def devices() -> dict[str, Device]:
    """Every device by name, in the order of the file."""
    return {row["name"]: _device(row) for row in read_json(FILE)["devices"]}


def device(name: str) -> Device:
    """The device called ``name``; raises UsageError that lists what exists."""
    found = devices()
    if name not in found:
        close = difflib.get_close_matches(name, found, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"unknown device {name!r}.{hint} Known: {', '.join(found)}.")
    return found[name]


def _device(row: dict[str, Any]) -> Device:
    return Device(
        name=row["name"],
        board=row["board"],
        title=row["title"],
        family=row["family"],
        architecture=row["architecture"],
        peaks={p: row[f] * 1e12 / 2 for p, f in RATES.items() if row[f] is not None},
        tensor_cores=tuple(row["tensor_cores"]),
        bandwidth=row["bandwidth_gb_s"] * 1e9,
        watts=row["watts"],
        power_mode=row["power_mode"],
        derived=row["derived"],
        sources=tuple(
            Source(tuple(s["fields"]), s["quote"], s["url"], s["read"]) for s in row["sources"]
        ),
    )
