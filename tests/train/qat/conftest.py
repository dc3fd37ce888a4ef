"""A tiny trained network as ONNX, its crops, and the backends that are installed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.table import CalibrationTable
from edgereid.calibration.thresholds import Decision
from edgereid.errors import MissingRuntimeError
from edgereid.export.graph import Graph
from edgereid.export.int8 import calibrate, load_graph
from edgereid.export.policy import TENSORRT, PlacementPolicy
from edgereid.export.torch_onnx import export_onnx
from edgereid.files import sha256
from edgereid.models.dslnet import DSLNet
from edgereid.models.registry import Network
from edgereid.train.qat.backend import Backend, open_backend
from edgereid.train.qat.options import BACKENDS
from tests.export.conftest import crops, make_small  # noqa: F401

#: INT8 wherever the rules allow it.
EVERYWHERE = replace(
    TENSORRT, inputs_of=("Conv", "Gemm"), weight_only=(), depthwise=True, group_multiple=1
)


@dataclass(frozen=True)
class Exported:
    """A network of some thousand parameters, exported; ``crops`` (32, 3, 32, 16)."""

    network: Network
    path: Path
    graph: Graph
    crops: NDArray[np.float32]

    def table(self, policy: PlacementPolicy) -> CalibrationTable:
        provenance = {"model": sha256(self.path)}
        return calibrate(
            self.path, [self.crops], (policy,), Decision("minmax"), provenance, threads=1
        )


def tiny_network() -> Network:
    """Batch norms with statistics of their own, so that folding is no matter of course."""
    torch.manual_seed(3)
    network = DSLNet(widths=(8, 72, 72, 72), feature_size=16)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(8, 3, 32, 16) + torch.randn(8, 3, 1, 1))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0.0, 0.3)
        network.fc[0].weight.normal_(0.0, 0.3)
    return network.eval()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("qat") / "model.onnx"
    network = tiny_network()
    export_onnx(network, (32, 16), path)
    rng = np.random.default_rng(5)
    images = rng.normal(size=(32, 3, 32, 16)) + 1.5 * rng.normal(size=(32, 3, 1, 1))
    return Exported(network, path, load_graph(path), images.astype(np.float32))


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend; one whose package is not installed is skipped, saying so."""
    try:
        return open_backend(request.param)
    except MissingRuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def everywhere() -> PlacementPolicy:
    return EVERYWHERE
