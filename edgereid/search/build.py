"""From a point of the front to the engine of a bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgereid.bundle import BundleFile, describe_file
from edgereid.calibration.table import CalibrationTable
from edgereid.export.int8 import Int8Engine, write_float, write_int8
from edgereid.files import dump_json, write_text
from edgereid.search.outcome import Record
from edgereid.search.units import nodes_of


@dataclass(frozen=True, slots=True)
class Job:
    """Where an engine is written, beside ``model.onnx``."""

    directory: Path
    table: CalibrationTable
    threads: int


def record_name(target: str) -> str:
    return f"search-{target}.json"


def write_record(directory: Path, record: Record) -> BundleFile:
    """Write the front into a bundle's directory; the manifest's entry."""
    path = directory / record_name(record.target)
    write_text(path, dump_json(record.to_json()))
    return describe_file(path, "data")


def build_point(record: Record, job: Job, number: int) -> Int8Engine:
    """Write the engine of a point, unchecked; its report says which point it is, what the search
    measured of it, and why each layer stays float."""
    point = record.outcome.points[number]
    choice = point.choice
    if choice.is_float:
        engine = write_float(record.target, job.directory, choice.arithmetic)
    else:
        keep = nodes_of(record.units, choice.kept)
        engine = write_int8(record.target, job.directory, job.table, keep, choice.arithmetic)
    measured = {
        "centred_cosine": round(point.agreement.cosine, 6),
        "kept": round(point.agreement.kept, 6),
        "checked_in": "the search",
    }
    return replace(engine, report={**measured, **engine.report, **_report(record, number, engine)})


def _report(record: Record, number: int, engine: Int8Engine) -> dict[str, Any]:
    outcome = record.outcome
    taken = number == outcome.taken
    point = outcome.points[number]
    why = outcome.why if taken else f"point {number} of the front, picked by hand"
    kept = {} if point.choice.is_float else kept_because(record, point.choice.kept)
    return {
        "float_layers": {**engine.report.get("float_layers", {}), **kept},
        "search": {
            "record": record_name(record.target),
            "point": number,
            "points": len(outcome.points),
            "why": why,
            "arithmetic": point.choice.arithmetic,
            "max_drop": outcome.max_drop,
            "evidence": outcome.evidence,
        },
    }


def kept_because(record: Record, kept: tuple[int, ...]) -> dict[str, str]:
    """Node -> why the search left it in float, by what was measured of its unit alone."""
    alone = {p.first: p for p in record.outcome.parts if p.last - p.first == 1}
    found = {}
    for number in kept:
        why = "kept in float by the search"
        if number in alone:
            part = alone[number]
            why += (
                f": in INT8 it makes {part.error:.1%} of the embedding error, and kept alone it "
                f"changes the time by {part.cost.value - 1:+.1%}"
            )
        found.update(dict.fromkeys(record.units[number].nodes, why))
    return found
