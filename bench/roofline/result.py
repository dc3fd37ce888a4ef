"""What a roofline run found. Rates are MACs or bytes a second, times milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgereid.bench.codec import encode
from edgereid.bench.machine import Machine, State
from edgereid.bench.roofline.roof import Roof, Standing
from edgereid.evaluation.result import LeftOut

KIND = "edgereid-roofline"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate measured ``runs`` times: by the fastest run, by the median time, and the coefficient
    of variation of the times."""

    best: float
    median: float
    cv: float
    runs: int


@dataclass(frozen=True, slots=True)
class Peak:
    """A probe of arithmetic: MACs a second."""

    runtime: str
    precision: str
    kind: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class Band:
    """A probe of bandwidth: bytes a second; ``doubt`` says what is wrong with its arrays."""

    level: str
    kind: str
    array_bytes: int
    rate: Rate
    doubt: str


@dataclass(frozen=True, slots=True)
class Layer:
    """A step of an engine's plan. ``nodes``: the nodes of the graph it stands for, empty for what
    stands for none, such as changes of layout. ``standing`` None: its work or its peak is not
    known."""

    name: str
    kind: str
    precision: str
    nodes: tuple[str, ...]
    ms: float
    macs: int | None
    nbytes: int | None
    standing: Standing | None


@dataclass(frozen=True, slots=True)
class Plan:
    """An engine's steps. ``run_ms``: a whole run while profiled; the shares say how much of the
    steps' time and of the graph's MACs were joined; ``lost`` names nodes that were not."""

    layers: tuple[Layer, ...]
    runs: int
    run_ms: float
    time_share: float
    macs_share: float
    lost: tuple[str, ...]

    @property
    def sum_ms(self) -> float:
        """The steps' times together."""
        return sum(layer.ms for layer in self.layers)

    @property
    def slowest(self) -> list[Layer]:
        """The steps, the longest first."""
        return sorted(self.layers, key=lambda layer: -layer.ms)


@dataclass(frozen=True, slots=True)
class EngineRoofline:
    """One engine at one batch size. ``level``: the memory its data fits into, which bounds it;
    ``at_roof_ms``: the least time of its plan, step by step, or of the whole where no step is told.
    What is None says why in ``absent``."""

    key: str
    label: str
    runtime: str
    precision: str
    threads: int
    p50_ms: float
    cv: float | None
    macs: int | None
    nbytes: int | None
    level: str
    roof: Roof | None
    whole: Standing | None
    at_roof_ms: float | None
    plan: Plan | None
    absent: tuple[str, ...]

    @property
    def to_gain_ms(self) -> float | None:
        """Time now less time at the roof."""
        return None if self.at_roof_ms is None else max(0.0, self.p50_ms - self.at_roof_ms)


@dataclass(frozen=True, slots=True)
class RooflineResult:
    """Everything a run found. ``cache_bytes``: the last cache, None where it is not told."""

    edgereid: str
    created: str
    options: dict[str, Any]
    machine: Machine
    before: State
    after: State
    inputs: str
    batch: int
    threads: int
    cache_bytes: int | None
    peaks: tuple[Peak, ...]
    bands: tuple[Band, ...]
    engines: tuple[EngineRoofline, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]

    def peak(self, precision: str) -> Peak | None:
        """The probe whose best run is the roof of a precision."""
        return best_peak(self.peaks, precision)

    def band(self, level: str) -> Band | None:
        """The probe whose best run is the roof of a memory level."""
        return best_band(self.bands, level)

    def to_json(self) -> dict[str, Any]:
        return {"kind": KIND, "schema": SCHEMA, **encode(self)}


def best_peak(peaks: tuple[Peak, ...], precision: str) -> Peak | None:
    """The fastest of a precision by its best run, None where none was measured."""
    own = [peak for peak in peaks if peak.precision == precision]
    return max(own, key=lambda peak: peak.rate.best, default=None)


def best_band(bands: tuple[Band, ...], level: str) -> Band | None:
    """The fastest of a memory level by its best run, None where none was measured."""
    own = [band for band in bands if band.level == level]
    return max(own, key=lambda band: band.rate.best, default=None)
