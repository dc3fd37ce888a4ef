"""Fitting the efficiencies on published latencies, and the error on what the fit has not seen.

The objective is the mean of squared logarithms of predicted over published, every board counting
once however many figures were published of it. It is searched by coordinates, from one start and
with steps that halve: no library, no chance, the same answer everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.estimate.devices import JETSON, Device
from edgereid.bench.estimate.fuse import FusedLayer
from edgereid.bench.estimate.model import UNITS, Efficiency, Terms, predict, terms
from edgereid.bench.estimate.published import Measurement, by_board, in_fit

START = Efficiency(0.4, 0.3, 0.5, 0.3, 0.7, launch_jetson=1e-5, launch_desktop=5e-6)
#: Limits of the search: a cache and Winograd's convolutions may pass the peaks of memory and vector
#: units (see ``Efficiency``), nothing else passes its own.
LOWEST = Efficiency(0.02, 0.02, 0.02, 0.02, 0.1, launch_jetson=1e-6, launch_desktop=1e-6)
HIGHEST = Efficiency(1.0, 1.0, 2.25, 1.0, 3.0, launch_jetson=1e-4, launch_desktop=1e-4)
FIRST_STEP, LAST_STEP = 0.4, 1e-4
#: The share of held-out figures that the interval of a prediction holds.
COVERAGE = 0.9
NAMES = tuple(field.name for field in fields(Efficiency))

Networks = Mapping[str, Sequence[FusedLayer]]
Devices = Mapping[str, Device]


@dataclass(frozen=True, slots=True)
class Problem:
    """Measurements as arrays: all layers one after the other, ``starts`` of each measurement."""

    rows: tuple[Measurement, ...]
    terms: tuple[Terms, ...]
    compute: NDArray[np.float64]
    memory: NDArray[np.float64]
    unit: NDArray[np.intp]
    starts: NDArray[np.intp]
    launches: NDArray[np.float64]
    jetson: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    weights: NDArray[np.float64]


def problem(rows: Sequence[Measurement], networks: Networks, devices: Devices) -> Problem:
    """The arrays of some measurements; raises KeyError for a network or device not in the data."""
    found = tuple(terms(networks[r.network], devices[r.device], r.precision, r.batch) for r in rows)
    sizes = [len(t.compute) for t in found]
    groups = by_board(rows, devices)
    return Problem(
        rows=tuple(rows),
        terms=found,
        compute=np.concatenate([t.compute for t in found]),
        memory=np.concatenate([t.memory for t in found]),
        unit=np.concatenate([t.unit for t in found]),
        starts=np.cumsum([0, *sizes[:-1]]),
        launches=np.array(sizes, dtype=np.float64),
        jetson=np.array([t.family == JETSON for t in found]),
        seconds=np.array([r.ms / 1e3 for r in rows]),
        weights=np.array([1 / len(groups[devices[r.device].board]) / len(groups) for r in rows]),
    )


def errors(task: Problem, efficiency: Efficiency) -> NDArray[np.float64]:
    """log(predicted / published) of each measurement."""
    shares = np.array([getattr(efficiency, name) for name in UNITS])
    layers = np.maximum(task.compute / shares[task.unit], task.memory / efficiency.memory)
    launch = np.where(task.jetson, efficiency.launch_jetson, efficiency.launch_desktop)
    total = np.add.reduceat(layers, task.starts) + task.launches * launch
    logs: NDArray[np.float64] = np.log(total / task.seconds)
    return logs


def fit(task: Problem) -> Efficiency:
    """The efficiencies of least weighted squared error, within the limits."""
    low, high, point = (_logs(x) for x in (LOWEST, HIGHEST, START))
    best, step = _loss(task, point), FIRST_STEP
    while step > LAST_STEP:
        moved = False
        for axis in range(len(point)):
            for sign in (1, -1):
                trial = point.copy()
                trial[axis] = np.clip(trial[axis] + sign * step, low[axis], high[axis])
                loss = _loss(task, trial)
                if loss < best:
                    point, best, moved = trial, loss, True
        if not moved:
            step /= 2
    return _efficiency(point)


def _logs(efficiency: Efficiency) -> NDArray[np.float64]:
    return np.log([getattr(efficiency, name) for name in NAMES])


def _efficiency(logs: NDArray[np.float64]) -> Efficiency:
    return Efficiency(*(float(value) for value in np.exp(logs)))


def _loss(task: Problem, logs: NDArray[np.float64]) -> float:
    return float(task.weights @ errors(task, _efficiency(logs)) ** 2)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A published figure and what is predicted of it by a fit that saw nothing of its device."""

    measurement: Measurement
    predicted_ms: float

    @property
    def error(self) -> float:
        """log(predicted / published)."""
        return math.log(self.predicted_ms / self.measurement.ms)


def held_out(
    rows: Sequence[Measurement], networks: Networks, devices: Devices
) -> tuple[HeldOut, ...]:
    """Each figure predicted by a fit to all other boards, in the order of ``rows``; those of old
    releases are in no fit, but predicted."""
    seen = in_fit(rows)
    fits = {
        name: fit(problem([r for r in seen if devices[r.device].board != name], networks, devices))
        for name in by_board(rows, devices)
    }
    return tuple(
        HeldOut(r, 1e3 * predict(t, fits[devices[r.device].board]).seconds)
        for r, t in zip(rows, problem(rows, networks, devices).terms, strict=True)
    )


def factor(logs: Sequence[float], coverage: float = COVERAGE) -> float:
    """The factor x such that the share ``coverage`` of errors lies within 1/x and x.

    The order statistic is rounded up, as in split conformal prediction, and the largest error where
    there are too few; source: Vovk et al., "Algorithmic learning in a random world", 2005."""
    sizes = sorted(abs(x) for x in logs)
    place = math.ceil(coverage * (len(sizes) + 1))
    return math.exp(sizes[min(place, len(sizes)) - 1])


def calibrated_errors(found: Sequence[HeldOut], same: str) -> list[float]:
    """Errors left after calibration by one other figure of the same precision: of the same
    ``device`` with another network, or of the same ``network`` on another device."""
    other = "network" if same == "device" else "device"
    return [
        x.error - y.error
        for x in found
        for y in found
        if getattr(x.measurement, same) == getattr(y.measurement, same)
        and getattr(x.measurement, other) != getattr(y.measurement, other)
        and x.measurement.precision == y.measurement.precision
    ]
