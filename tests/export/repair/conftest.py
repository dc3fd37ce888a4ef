"""A small network, its calibration table for all targets, and its own features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.collect import collect  # noqa: E402
from edgereid.calibration.table import CalibrationTable, decide  # noqa: E402
from edgereid.calibration.thresholds import Decision  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.placement import place, schemes_needed  # noqa: E402
from edgereid.export.policy import POLICIES  # noqa: E402


def calibrated(model: Any, images: np.ndarray, folder: Path) -> CalibrationTable:
    """Ranges for all targets."""
    path = folder / "model.onnx"
    onnx.save(model, str(path))
    graph, policies = Graph(model), tuple(POLICIES.values())
    tensors = {s for p in policies for s in place(graph, p).activations.values()}
    seen = collect(path, [images], tensors, threads=1)
    needed = schemes_needed(graph, policies, {n: h.low >= 0 for n, h in seen.items()})
    return decide(seen.values(), needed, Decision("mse"), {})


@pytest.fixture(scope="session")
def table(
    small: Any, crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> CalibrationTable:
    return calibrated(small, crops, tmp_path_factory.mktemp("repair"))


def evaluate(model: Any, images: np.ndarray, *tensors: str) -> list[np.ndarray]:
    """Tensors of a model by ONNX's reference evaluator; without names its output."""
    from onnx.reference import ReferenceEvaluator

    # The evaluator has DequantizeLinear from operator set 19 on; what it computes is the same.
    changed = onnx.version_converter.convert_version(model, 19)
    for name in tensors:
        if name not in {o.name for o in changed.graph.output}:
            changed.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    names = list(tensors) or [model.graph.output[0].name]
    return [np.asarray(v) for v in ReferenceEvaluator(changed).run(names, {"images": images})]
