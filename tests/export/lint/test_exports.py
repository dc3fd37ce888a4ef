"""What this project exports keeps its own rules: no error and no warning, for any target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.calibration.collect import collect
from edgereid.calibration.table import decide
from edgereid.calibration.thresholds import Decision
from edgereid.export.graph import Graph
from edgereid.export.lint.finding import NOTE
from edgereid.export.lint.report import lint, text
from edgereid.export.lint.targets import TARGETS, choose
from edgereid.export.placement import place, schemes_needed
from edgereid.export.policy import ONNXRUNTIME_ARM, POLICIES
from edgereid.export.qdq import quantize

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def quantized(path: Path, images: np.ndarray, *targets: str) -> dict[str, Any]:
    """The Q/DQ model of each target, calibrated by the maximum on ``images``."""
    model = onnx.load(str(path))
    policies = tuple(POLICIES[t] for t in targets)
    graph = Graph(model)
    tensors = {s for p in policies for s in place(graph, p).activations.values()}
    seen = collect(path, [images], tensors, threads=1)
    needed = schemes_needed(graph, policies, {n: h.low >= 0 for n, h in seen.items()})
    table = decide(seen.values(), needed, Decision("minmax"), {})
    return {p.target: quantize(model, table, p)[0] for p in policies}


@pytest.fixture(scope="module")
def small_models(
    small: Any, crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("lint") / "small.onnx"
    onnx.save(small, str(path))
    return quantized(path, crops, *POLICIES)


@pytest.mark.parametrize("name", TARGETS)
def test_the_int8_export_of_a_small_network_is_clean(
    name: str, small_models: dict[str, Any]
) -> None:
    report = lint(small_models[name], choose(name))
    assert {f.severity for f in report.findings} <= {NOTE}, text(report)
    assert report.exit_code == 0


@pytest.mark.parametrize("name", TARGETS)
def test_the_float_network_is_clean(name: str, small: Any) -> None:
    report = lint(small, choose(name))
    assert {f.severity for f in report.findings} <= {NOTE}, text(report)


def test_what_is_made_for_x86_is_refused_for_tensorrt(small_models: dict[str, Any]) -> None:
    report = lint(small_models["onnxruntime"], choose("tensorrt"))
    rules = {f.rule for f in report.findings}
    assert {"activation-type", "zero-point", "group-size", "depthwise"} <= rules
    assert report.exit_code == 1


def test_what_is_made_for_tensorrt_is_slow_on_x86_and_lint_says_so(
    small_models: dict[str, Any],
) -> None:
    rules = {f.rule for f in lint(small_models["tensorrt"], choose("onnxruntime")).findings}
    assert {"activation-type", "float-output"} <= rules


def test_the_policy_for_arm_has_one_signed_type_throughout(small_models: dict[str, Any]) -> None:
    model = small_models["onnxruntime-arm"]
    zeros = {n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    types = {i.data_type for i in model.graph.initializer if i.name in zeros}
    assert types == {onnx.TensorProto.INT8}
    assert set(ONNXRUNTIME_ARM.reasons) <= set(ONNXRUNTIME_ARM.__slots__)


def test_the_model_for_arm_follows_the_float_network(
    small: Any, small_models: dict[str, Any], crops: np.ndarray
) -> None:
    import onnxruntime as ort

    def run(model: Any) -> np.ndarray:
        session = ort.InferenceSession(model.SerializeToString())
        return np.asarray(session.run(None, {"images": crops})[0])

    got, want = run(small_models["onnxruntime-arm"]), run(small)
    assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.98
    assert np.abs(got - want).max() > 1e-4, "it runs in 8 bits"


def published() -> list[str]:
    pytest.importorskip("torch")
    from edgereid.models import registry

    return [n for n in registry.names() if registry.entry(n).published]


@pytest.mark.slow
@pytest.mark.parametrize("name", published())
def test_every_networks_int8_export_is_clean(name: str, tmp_path: Path) -> None:
    import torch
    from torch import nn

    from edgereid.export.torch_onnx import export_onnx
    from edgereid.models import registry

    torch.manual_seed(0)
    network, spec = registry.build(name), registry.entry(name).input
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    coarse = torch.rand(8, 3, 8, 4)
    images = nn.functional.interpolate(coarse, size=(spec.height, spec.width), mode="bilinear")
    with torch.no_grad():
        network.train()(images * 4 - 2)  # batch norm sees varied images
    path = tmp_path / "model.onnx"
    export_onnx(network.eval(), (spec.height, spec.width), path)
    models = quantized(path, (images * 4 - 2).numpy(), *POLICIES)
    for target, model in models.items():
        report = lint(model, choose(target))
        assert {f.severity for f in report.findings} <= {NOTE}, text(report)
