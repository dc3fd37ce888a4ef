"""The calibration table: for every tensor the ranges that were chosen, and where they came from.

This is all that calibration, or training with quantisation, hands to the one Q/DQ writer. The
range depends on the grid, so an entry holds one for each grid that a target asked for. Where other
thresholds suit a target, it has entries of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgereid.calibration.histogram import Histogram
from edgereid.calibration.scheme import SCHEMES, Range, Scheme
from edgereid.calibration.thresholds import Decision, threshold
from edgereid.errors import InputError, UsageError
from edgereid.files import dump_json, read_json, write_text

SCHEMA = 1
SCHEMA_OF_TARGETS = 2  # where targets have entries of their own
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
    """Tensor name -> entry; ``provenance`` says which images, preprocessing and model gave it.

    ``targets``: target -> the entries that hold for it instead.
    """

    entries: Mapping[str, Entry]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)

    def of(self, target: str) -> CalibrationTable:
        """The table as it holds for one target."""
        own = self.targets.get(target)
        return replace(self, entries={**self.entries, **own}, targets={}) if own else self

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
        whole = {"provenance": dict(self.provenance), "tensors": _tensors(self.entries)}
        if not self.targets:
            return {"schema": SCHEMA, **whole}
        targets = {target: _tensors(own) for target, own in self.targets.items()}
        return {"schema": SCHEMA_OF_TARGETS, **whole, "targets": targets}

    @staticmethod
    def from_json(value: Any, source: str = "the calibration table") -> CalibrationTable:
        """Raises InputError on another schema, a missing field or a value that cannot be."""
        got = value.get("schema") if isinstance(value, dict) else type(value).__name__
        if got not in (SCHEMA, SCHEMA_OF_TARGETS):
            raise InputError(
                f"{source} has schema {got!r}; this edgereid reads {SCHEMA} and "
                f"{SCHEMA_OF_TARGETS}."
            )
        try:
            own = value["targets"].items() if got == SCHEMA_OF_TARGETS else ()
            targets = {str(target): _entries(tensors) for target, tensors in own}
            return CalibrationTable(_entries(value["tensors"]), dict(value["provenance"]), targets)
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            raise InputError(f"{source} cannot be read: {error!r}.") from error

    def save(self, path: Path) -> None:
        """Write the table; the same table always gives the same bytes."""
        write_text(path, dump_json(self.to_json()))

    @staticmethod
    def load(path: Path) -> CalibrationTable:
        return CalibrationTable.from_json(read_json(path), str(path))


def _tensors(entries: Mapping[str, Entry]) -> dict[str, Any]:
    return {
        name: {
            "count": e.count,
            "method": e.method,
            "ranges": {s: [r.low, r.high] for s, r in e.ranges.items()},
            "seen": [e.low, e.high],
        }
        for name, e in entries.items()
    }


def _entries(tensors: Mapping[str, Any]) -> dict[str, Entry]:
    return {str(name): _entry(value) for name, value in tensors.items()}


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
