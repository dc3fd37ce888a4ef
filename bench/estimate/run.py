"""One estimate: a graph counted and fused, its time on a device predicted, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.estimate.constants import Constants, Errors, constants
from edgereid.bench.estimate.devices import PRECISIONS, Device
from edgereid.bench.estimate.fit import COVERAGE
from edgereid.bench.estimate.fuse import FusedLayer, fuse
from edgereid.bench.estimate.model import Prediction, predict, terms
from edgereid.bench.estimate.result import Estimate, Predicted
from edgereid.bench.options import MAX_BATCH
from edgereid.bench.result import BenchResult, Row
from edgereid.bench.roofline.network import read_network
from edgereid.bundle import Bundle
from edgereid.errors import InputError, UsageError

RUNTIME = "tensorrt"


@dataclass(frozen=True, slots=True)
class Graph:
    """A network to predict: its label and its fused layers, of one image. ``uncounted``: nodes
    whose MACs are not known."""

    label: str
    layers: tuple[FusedLayer, ...]
    uncounted: int = 0

    @property
    def macs(self) -> int:
        return sum(x.macs for x in self.layers)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A bench result on a device. ``graph`` None: of the very network that is predicted."""

    result: BenchResult
    device: Device
    graph: Graph | None = None


@dataclass(frozen=True, slots=True)
class EstimateOptions:
    """What to predict. ``precisions`` empty: all that the device has."""

    device: Device
    precisions: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1, 8)

    def __post_init__(self) -> None:
        for precision in self.precisions:
            if precision not in PRECISIONS:
                raise UsageError(f"precision {precision!r}: choose of {', '.join(PRECISIONS)}.")
            self.device.require(precision)
        if not self.batches or not all(1 <= b <= MAX_BATCH for b in self.batches):
            raise UsageError(f"batches {list(self.batches)}: from 1 to {MAX_BATCH} are allowed.")


def read_graph(path: Path, label: str | None = None) -> Graph:
    """Count and fuse an ONNX file or a bundle's float network.

    Raises InputError where it cannot be read, has no MACs, or fixes its batch to more than 1."""
    file = path
    if path.is_dir():
        bundle = Bundle.open(path, verify=False)
        file = next((bundle.path(f) for f in bundle.find("float")), path)
        if file == path:
            raise InputError(f"{path} holds no float ONNX network to count: export it again.")
    network = read_network(file, 1)
    layers = fuse(network)
    macs = sum(x.macs for x in layers)
    if not macs:
        raise InputError(f"{file}: no multiply-adds could be counted, so nothing can be predicted.")
    if sum(x.macs for x in fuse(read_network(file, 2))) == macs:
        raise InputError(f"{file} takes one batch size only: give the float file of any batch.")
    return Graph(label or path.name, layers, len(network.uncounted))


def estimate(
    graph: Graph,
    options: EstimateOptions,
    calibration: Calibration | None = None,
    known: Constants | None = None,
) -> Estimate:
    """Predict every precision at every batch size; ``known`` stands in for the stored constants.

    Raises UsageError and InputError where the measurement tells nothing of the prediction."""
    known = known or constants()
    device, notes = options.device, []
    rows: list[Predicted] = []
    if calibration is not None:
        _check(calibration, options.device)
    for precision in options.precisions or device.precisions:
        for batch in options.batches:
            raw = _predict(graph, device, precision, batch, known)
            scale = (
                None if calibration is None else _scale(calibration, graph, precision, batch, known)
            )
            errors = known.held_out if scale is None else _errors(calibration, device, known)
            rows.append(_row(raw, scale, errors, device, precision, batch))
    if calibration is not None:
        missing = sorted({row.precision for row in rows if not row.calibrated})
        if len(missing) == len({row.precision for row in rows}):
            raise InputError(
                f"no {RUNTIME} engine in the result runs in {' or '.join(missing)}: it cannot "
                f"calibrate; it has {_known_rows(calibration.result)}."
            )
        if missing:
            notes.append(f"not calibrated, as no engine was measured: {', '.join(missing)}")
    if graph.uncounted:
        notes.append(f"{graph.uncounted} nodes have no known MACs: their time is missing")
    return Estimate(graph.label, device, len(graph.layers), graph.macs, tuple(rows), tuple(notes))


def _predict(
    graph: Graph, device: Device, precision: str, batch: int, known: Constants
) -> Prediction:
    return predict(terms(graph.layers, device, precision, batch), known.efficiency)


def _row(
    raw: Prediction,
    scale: float | None,
    errors: Errors,
    device: Device,
    precision: str,
    batch: int,
) -> Predicted:
    seconds = raw.seconds * (1.0 if scale is None else scale)
    return Predicted(
        precision=precision,
        batch=batch,
        ms=1e3 * seconds,
        low_ms=1e3 * seconds / errors.factor,
        high_ms=1e3 * seconds * errors.factor,
        coverage=COVERAGE,
        images_per_s=batch / seconds,
        energy_mj=1e3 * device.watts * seconds / batch,
        compute_share=raw.compute / raw.seconds,
        memory_share=raw.memory / raw.seconds,
        launch_share=raw.launch / raw.seconds,
        calibrated=scale is not None,
    )


def _check(calibration: Calibration, device: Device) -> None:
    """Raises UsageError unless one thing at least is the same: the network or the device."""
    if calibration.graph is not None and calibration.device.name != device.name:
        raise UsageError(
            "the measurement is of another network on another device: it tells nothing. Give one "
            "of this network, or one on this device."
        )


def _errors(calibration: Calibration | None, device: Device, known: Constants) -> Errors:
    same = calibration is not None and calibration.device.name == device.name
    return known.same_device if same else known.same_network


def _scale(
    calibration: Calibration, graph: Graph, precision: str, batch: int, known: Constants
) -> float | None:
    """Measured over predicted, of the engine in this precision at the nearest batch size; None
    where no such engine was measured."""
    found = [r for r in calibration.result.rows if r.runtime == RUNTIME and r.latency]
    rows = [r for r in found if r.precision == precision]
    if not rows or precision not in calibration.device.peaks:
        return None
    if len(rows) > 1:
        names = ", ".join(r.label for r in rows)
        raise InputError(f"several engines in {precision} were measured ({names}): give one.")
    nearest = _nearest(rows[0], batch)
    measured = rows[0].latency[nearest].summary.p50_ms / 1e3
    source = calibration.graph or graph
    return measured / _predict(source, calibration.device, precision, nearest, known).seconds


def _nearest(row: Row, batch: int) -> int:
    return min(row.latency, key=lambda b: (abs(math.log(b / batch)), b))


def _known_rows(result: BenchResult) -> str:
    rows: Sequence[str] = [f"{r.runtime} {r.precision}" for r in result.rows]
    return ", ".join(rows) or "no engines"
