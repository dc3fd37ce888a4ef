"""The calibration table: for every tensor the ranges that were chosen, and where they came from.

This is all that calibration, or training with quantisation, hands to the one Q/DQ writer. The
range depends on the grid, so an entry holds one for each grid that a target asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgereid.calibration.histogram import Histogram
from edgereid.calibration.scheme import SCHEMES, Range, Scheme
from edgereid.calibration.thresholds import Decision, threshold
from edgereid.errors import InputError, UsageError
from edgereid.files import dump_json, read_json, write_text

SCHEMA = 1
TRAINED = "qat"  # how the methods of ranges begin that training ended with


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: the least and greatest value seen, how many values, and the range per scheme."""

    low: float
    high: float
    count: int
    method: str
    ranges: Mapping[str, Range]

    @property
    def nonnegative(self) -> bool:
        """Whether no negative value was seen."""
        return self.low >= 0.0


@dataclass(frozen=True, slots=True)
class CalibrationTable:
    """Tensor name -> entry; ``provenance`` says which images, preprocessing and model gave it."""

    entries: Mapping[str, Entry]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def entry(self, tensor: str) -> Entry:
        """Raises InputError when the table does not know the tensor."""
        if tensor not in self.entries:
            raise InputError(
                f"the calibration table has no tensor {tensor!r}: it was made for another model, "
                "target or version of edgereid; calibrate for this one."
            )
        return self.entries[tensor]

    def range(self, tensor: str, scheme: Scheme) -> Range:
        """Raises InputError when the table has no range of the tensor for this scheme."""
        entry = self.entry(tensor)
        if scheme.name not in entry.ranges:
            raise InputError(
                f"the calibration table has no {scheme.name} range of tensor {tensor!r}: it was "
                f"made for another target or version of edgereid ({', '.join(entry.ranges)}); "
                "calibrate for this one."
            )
        return entry.ranges[scheme.name]

    @property
    def trained(self) -> bool:
        """Whether ranges came of training, whose weights then suit rounding to nearest."""
        return any(entry.method.startswith(TRAINED) for entry in self.entries.values())

    def to_json(self) -> dict[str, Any]:
        tensors = {
            name: {
                "count": e.count,
                "method": e.method,
                "ranges": {s: [r.low, r.high] for s, r in e.ranges.items()},
                "seen": [e.low, e.high],
            }
            for name, e in self.entries.items()
        }
        return {"schema": SCHEMA, "provenance": dict(self.provenance), "tensors": tensors}

    @staticmethod
    def from_json(value: Any, source: str = "the calibration table") -> CalibrationTable:
        """Raises InputError on another schema, a missing field or a value that cannot be."""
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            got = value.get("schema") if isinstance(value, dict) else type(value).__name__
            raise InputError(f"{source} has schema {got!r}; this edgereid reads {SCHEMA}.")
        try:
            entries = {str(n): _entry(v) for n, v in value["tensors"].items()}
            return CalibrationTable(entries, dict(value["provenance"]))
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            raise InputError(f"{source} cannot be read: {error!r}.") from error

    def save(self, path: Path) -> None:
        """Write the table; the same table always gives the same bytes."""
        write_text(path, dump_json(self.to_json()))

    @staticmethod
    def load(path: Path) -> CalibrationTable:
        return CalibrationTable.from_json(read_json(path), str(path))


def _entry(value: Mapping[str, Any]) -> Entry:
    low, high = (float(v) for v in value["seen"])
    count = int(value["count"])
    if not low <= high or count < 1:
        raise ValueError(f"{count} values from {low} to {high}")
    ranges = {}
    for name, (a, b) in value["ranges"].items():
        if name not in SCHEMES:
            raise ValueError(f"scheme {name!r}")
        ranges[str(name)] = Range(float(a), float(b))
    return Entry(low, high, count, str(value["method"]), ranges)


def decide(
    histograms: Iterable[Histogram],
    schemes: Mapping[str, Iterable[Scheme]],
    decision: Decision,
    provenance: Mapping[str, Any],
) -> CalibrationTable:
    """A table of the tensors in ``schemes`` (tensor -> schemes whose range is asked for)."""
    seen = {h.name: h for h in histograms}
    entries = {}
    for name, wanted in schemes.items():
        h = seen[name]
        ranges = {s.name: threshold(h, decision, s) for s in wanted}
        entries[name] = Entry(h.low, h.high, h.count, decision.method, ranges)
    return CalibrationTable(entries, provenance)
