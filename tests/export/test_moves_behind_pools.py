"""A pooling whose result is moved: what is pooled, its result and the moved lie on one grid."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.table import CalibrationTable  # noqa: E402
from edgereid.calibration.thresholds import Decision  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.int8 import calibrate  # noqa: E402
from edgereid.export.placement import place  # noqa: E402
from edgereid.export.policy import OPENVINO  # noqa: E402
from edgereid.export.qdq import quantize  # noqa: E402
from tests.export.conftest import Builder  # noqa: E402


def network(joined: bool) -> Any:
    """Convolution, maximum pooling, what moves its result (with ``joined``: that of a second
    branch beside it), convolution."""
    b = Builder()
    stem = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 6, 3))
    pool = b.op("MaxPool", "pool", stem, kernel_shape=[3, 3], pads=[1] * 4)
    if joined:
        branch = b.op("Relu", "branch.relu", b.conv("branch", pool, 6, 6))
        moved = b.op("Concat", "moved", pool, branch, axis=1)
    else:
        moved = b.op("Concat", "moved", pool, pool, axis=1)
    last = b.conv("last", moved, 12, 6)
    b.op("Flatten", "features", b.op("GlobalAveragePool", "mean", last))
    return b.model()


@pytest.fixture(params=[False, True], ids=["alone", "joined"])
def joined(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def model(joined: bool) -> Any:
    return network(joined)


@pytest.fixture
def table(model: Any, tmp_path: Path, crops: np.ndarray) -> CalibrationTable:
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path))
    return calibrate(path, [crops[:8]], (OPENVINO,), Decision("minmax"), {}, 1)


def test_the_pooling_is_exact_and_all_that_is_moved_is_on_its_grid(
    joined: bool, model: Any, table: CalibrationTable
) -> None:
    placement = place(Graph(model), OPENVINO)
    on = {**placement.activations, **placement.carried}
    both = ("stem.relu", "pool") if joined else ("pool",)  # else it is rounded once, when pooled
    assert {on[name] for name in (*both, "moved")} == {on["moved"]}
    quantised, _ = quantize(model, table, OPENVINO)
    stored = Graph(quantised).weights
    apart = ("images", "last")
    scales = {stored[f"{name}/scale"].item() for name in placement.activations if name not in apart}
    assert len(scales) == 1


def test_one_table_serves_whatever_is_kept_in_float(model: Any, table: CalibrationTable) -> None:
    layers = [n.name for n in model.graph.node if n.op_type == "Conv"]
    whole = place(Graph(model), OPENVINO)
    for keep in (k for n in range(len(layers) + 1) for k in combinations(layers, n)):
        quantize(model, table, OPENVINO, keep)  # asks the table for every range
        part = place(Graph(model), OPENVINO, keep)
        for name, source in part.activations.items():
            assert whole.activations[name] == source
