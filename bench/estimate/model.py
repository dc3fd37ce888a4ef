"""The arithmetic of the estimate, apart from files and graphs.

    time = sum over layers of max(MACs / (peak x efficiency), bytes / (bandwidth x efficiency))
           + layers x launch

after the roofline of Williams, Waterman and Patterson (2009). A dense layer is bound by the matrix
units where the device has them for the precision, else by its vector units; a thin one (see
``fuse``) always by the vector units at their FP32 rate; any other by the memory alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.estimate.devices import EARLY, JETSON, Device
from edgereid.bench.estimate.fuse import DENSE, MEMORY, THIN, FusedLayer

#: Bytes of a number in layers with MACs, and in the others: pools, softmax and norms stay in FP16
#: in an INT8 engine.
WIDTHS = {"f32": (4, 4), "f16": (2, 2), "int8": (1, 2)}


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The shares of the peaks that layers reach, and the seconds each launch costs by the family of
    devices. ``memory`` may be above 1: what fits the cache moves faster than the memory's peak;
    ``vector``, too: Winograd's convolutions need fewer products than are counted.
    ``early_matrix``: matrix units before Ampere's."""

    matrix: float
    early_matrix: float
    vector: float
    thin: float
    memory: float
    launch_jetson: float
    launch_desktop: float

    def launch(self, family: str) -> float:
        """Seconds a layer costs however small it is."""
        return self.launch_jetson if family == JETSON else self.launch_desktop

    def to_json(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds a batch, and how they divide: in layers bound by arithmetic, in layers bound by
    memory, in launches."""

    seconds: float
    compute: float
    memory: float
    launch: float


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds of each layer at full peak: ``compute`` by its unit (an index into ``UNITS``), and
    ``memory``."""

    compute: NDArray[np.float64]
    memory: NDArray[np.float64]
    unit: NDArray[np.intp]
    family: str


#: Fields of Efficiency that scale a layer's arithmetic.
UNITS = ("matrix", "early_matrix", "vector", "thin")


def terms(layers: Sequence[FusedLayer], device: Device, precision: str, batch: int) -> Terms:
    """Layers of one image as seconds at full peak of a batch. Weights are read once a batch.

    Raises UsageError where the device has no such arithmetic."""
    device.require(precision)
    matrix = "early_matrix" if device.architecture in EARLY else "matrix"
    unit = matrix if precision in device.tensor_cores else "vector"
    peaks = {DENSE: device.peaks[precision], THIN: device.peaks["f32"], MEMORY: np.inf}
    units = {DENSE: UNITS.index(unit), THIN: UNITS.index("thin"), MEMORY: 0}
    width, other = WIDTHS[precision]
    nbytes = [
        (batch * x.activations + x.weights) * (other if x.kind == MEMORY else width) for x in layers
    ]
    return Terms(
        compute=np.array([batch * x.macs / peaks[x.kind] for x in layers]),
        memory=np.array(nbytes, dtype=np.float64) / device.bandwidth,
        unit=np.array([units[x.kind] for x in layers], dtype=np.intp),
        family=device.family,
    )


def predict(found: Terms, efficiency: Efficiency) -> Prediction:
    """The time of all layers, one after the other."""
    shares = np.array([getattr(efficiency, name) for name in UNITS])
    compute = found.compute / shares[found.unit]
    memory = found.memory / efficiency.memory
    bound = compute >= memory
    launch = len(compute) * efficiency.launch(found.family)
    by_compute, by_memory = float(compute[bound].sum()), float(memory[~bound].sum())
    return Prediction(by_compute + by_memory + launch, by_compute, by_memory, launch)
