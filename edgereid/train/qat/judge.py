"""What the Q/DQ writer makes of weights and ranges, judged by the embeddings of held-out crops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgereid.calibration.session import open_session
from edgereid.calibration.table import CalibrationTable
from edgereid.errors import InputError
from edgereid.export.graph import Graph
from edgereid.export.parity import cosines
from edgereid.export.policy import PlacementPolicy
from edgereid.export.qdq import quantize


@dataclass(frozen=True, slots=True)
class Judge:
    """Crops (N, 3, H, W) and the float network's features (N, D) of them."""

    crops: NDArray[np.float32]
    reference: NDArray[np.float32]
    policy: PlacementPolicy
    threads: int

    def error(self, model: Any, table: CalibrationTable) -> tuple[float, NDArray[np.float32]]:
        """One minus the mean centred cosine of the quantised ``model`` (a float onnx.ModelProto)
        to the float network, and its features."""
        quantised, _ = quantize(model, table, self.policy)
        session = open_session(quantised, self.threads)
        source = model.graph.input[0].name
        singles = np.split(self.crops, len(self.crops))
        got = np.concatenate([session.run(None, {source: image})[0] for image in singles])
        mean = self.reference.mean(axis=0)
        return 1.0 - float(cosines(got - mean, self.reference - mean).mean()), got


def agreement(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean cosine of rows."""
    return float(cosines(a, b).mean())


def require_same(graph: Graph, trained: Mapping[str, Tensor]) -> None:
    """Raise InputError unless a graph holds the trained weights to the last bit."""
    for name, value in trained.items():
        if name not in graph.weights or not np.array_equal(graph.weights[name], value.numpy()):
            raise InputError(
                f"{name} comes out of the export other than it was trained: this network cannot be "
                "trained with quantisation."
            )
