"""Whether an export of what was trained is what was trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgereid.errors import InputError
from edgereid.export.graph import Graph
from edgereid.export.parity import cosines


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
