"""The repairs in their order, each with the error of the embedding before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.table import CalibrationTable
from edgereid.export.graph import Graph
from edgereid.export.placement import place
from edgereid.export.policy import PlacementPolicy
from edgereid.export.repair.bias import bias_shifts
from edgereid.export.repair.judge import Judge
from edgereid.export.repair.layers import Layer, layers_of
from edgereid.export.repair.mended import Mended
from edgereid.export.repair.options import RepairOptions
from edgereid.export.repair.rounding import learn_codes
from edgereid.export.weight_codes import WEIGHTS

#: Calibration images that the repairs look at.
IMAGES = 64


@dataclass(frozen=True, slots=True)
class _Work:
    """What the steps start from; ``images`` are calibration images (N, 3, H, W)."""

    model: Any
    table: CalibrationTable
    policy: PlacementPolicy
    layers: tuple[Layer, ...]
    axes: Mapping[str, int]  # weight -> axis of its output channels
    images: NDArray[np.float32]
    options: RepairOptions
    threads: int

    def quantised(self, mended: Mended) -> Any:
        return mended.quantize(self.model, self.table, self.policy)[0]


def _weights(work: _Work, mended: Mended) -> Mended:
    choose, weights = WEIGHTS[work.options.scales], Graph(work.model).weights
    return replace(mended, codes={n: choose(weights[n], axis) for n, axis in work.axes.items()})


def _rounding(work: _Work, mended: Mended) -> Mended:
    codes = _weights(work, mended).codes
    quantised = work.quantised(mended)
    learnt = learn_codes(quantised, work.model, work.layers, codes, work.images, work.threads)
    return replace(mended, codes=learnt)


def _bias(work: _Work, mended: Mended) -> Mended:
    quantised = work.quantised(mended)
    shifts = bias_shifts(work.model, quantised, work.layers, work.images, work.threads)
    return replace(mended, shifts=shifts)


#: Name -> whether it is wanted, and the step; biases last, for the weights that are stored.
_STEPS: dict[str, tuple[Callable[[RepairOptions], bool], Callable[[_Work, Mended], Mended]]] = {
    "weight_scales": (lambda o: o.scales != "minmax", _weights),
    "rounding": (lambda o: o.rounding != "nearest", _rounding),
    "bias_correction": (lambda o: o.bias_correction, _bias),
}


@dataclass(frozen=True, slots=True)
class Repaired:
    """``mended``, and the error at the output (one minus the centred cosine) after each step;
    ``undone``: what it was after a step that made it worse and was not insisted on."""

    mended: Mended
    errors: dict[str, float]
    undone: dict[str, float]


def mend(
    model: Any,
    table: CalibrationTable,
    policy: PlacementPolicy,
    images: NDArray[np.float32],
    options: RepairOptions,
    judge: Judge,
) -> Repaired:
    """The repairs of the float ``model`` (an onnx.ModelProto), and the error at the output after
    each by name of the step; "none" is before the first."""
    options = options.decided(table.trained)
    graph = Graph(model)
    axes = place(graph, policy).weights
    work = _Work(
        model,
        table,
        policy,
        tuple(layers_of(graph, axes)),
        axes,
        images,
        options,
        judge.threads,
    )
    mended = Mended()
    error = judge.error(work.quantised(mended))
    errors, undone = {"none": round(error, 8)}, {}
    for name, (wanted, step) in _STEPS.items():
        if not wanted(options):
            continue
        tried = step(work, mended)
        before, error = error, judge.error(work.quantised(tried))
        if name == "rounding" and options.rounding == "auto" and error > before:
            undone[name], error = round(error, 8), before
        else:
            mended, errors[name] = tried, round(error, 8)
    return Repaired(mended, errors, undone)
