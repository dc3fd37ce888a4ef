"""The fitted constants with their errors, as ``benchmarks/fit_estimate.py`` stored them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgereid.bench.estimate.fit import (
    COVERAGE,
    Devices,
    HeldOut,
    Networks,
    calibrated_errors,
    factor,
    fit,
    held_out,
    problem,
)
from edgereid.bench.estimate.model import Efficiency
from edgereid.bench.estimate.published import Measurement, in_fit, old_sources
from edgereid.files import read_json

FILE = Path(__file__).with_name("constants.json")


@dataclass(frozen=True, slots=True)
class Errors:
    """How far predictions were from published figures: ``median`` of predicted over published or
    its inverse, less 1; ``factor``: the share ``COVERAGE`` lies within it."""

    figures: int
    median: float
    factor: float


@dataclass(frozen=True, slots=True)
class Constants:
    """What a prediction needs. ``held_out``: with nothing known of the device; ``same_device`` and
    ``same_network``: after calibration by one measured engine."""

    efficiency: Efficiency
    held_out: Errors
    same_device: Errors
    same_network: Errors
    points: tuple[HeldOut, ...]


def fit_all(rows: Sequence[Measurement], networks: Networks, devices: Devices) -> Constants:
    """The fit to every figure, and its errors on devices it has not seen."""
    points = held_out(rows, networks, devices)
    fitted = [x for x in points if x.measurement.source not in old_sources()]
    return Constants(
        efficiency=fit(problem(in_fit(rows), networks, devices)),
        held_out=summary([x.error for x in fitted]),
        same_device=summary(calibrated_errors(fitted, "device")),
        same_network=summary(calibrated_errors(fitted, "network")),
        points=points,
    )


def summary(logs: Sequence[float]) -> Errors:
    """Errors of log(predicted / published)."""
    return Errors(len(logs), float(np.expm1(np.median(np.abs(logs)))), factor(logs))


def to_json(constants: Constants) -> dict[str, Any]:
    """The file's content."""
    kinds = ("held_out", "same_device", "same_network")
    return {
        "made_by": "python benchmarks/fit_estimate.py",
        "coverage": COVERAGE,
        "efficiency": constants.efficiency.to_json(),
        "errors": {name: _errors_to_json(getattr(constants, name)) for name in kinds},
        "held_out_ms": {x.measurement.key: x.predicted_ms for x in constants.points},
    }


def _errors_to_json(errors: Errors) -> dict[str, float]:
    return {"figures": errors.figures, "median": errors.median, "factor": errors.factor}


@cache
def constants() -> Constants:
    """The stored constants."""
    from edgereid.bench.estimate.published import measurements

    stored = read_json(FILE)
    ms = stored["held_out_ms"]
    return Constants(
        efficiency=Efficiency(**stored["efficiency"]),
        **{name: Errors(**values) for name, values in stored["errors"].items()},
        points=tuple(HeldOut(row, ms[row.key]) for row in measurements()),
    )
