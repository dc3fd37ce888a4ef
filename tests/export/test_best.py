"""The default of the thresholds: for each target the method whose ranges move the embedding
least, weights left as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from edgereid.calibration.auto import CANDIDATES  # noqa: E402
from edgereid.calibration.thresholds import BEST, Decision  # noqa: E402
from edgereid.errors import InputError  # noqa: E402
from edgereid.export.int8 import calibrate  # noqa: E402
from edgereid.export.policy import ONNXRUNTIME, OPENVINO, PlacementPolicy  # noqa: E402
from edgereid.export.qdq import quantize  # noqa: E402
from tests.export.conftest import Builder  # noqa: E402

TWO_CHOICES = 5.0  # so loud that the two runtimes' placements want different thresholds


def with_loud_channels(times: float = 100.0) -> Any:
    """Two of 16 channels are so many times as large as the others, and of no use."""
    b = Builder()
    x = b.op("Relu", "first.relu", b.conv("first", "images", 3, 16, 3))
    weight = onnx.numpy_helper.to_array(b.constants[0]).copy()
    weight[:2] *= times
    b.constants[0].CopyFrom(onnx.numpy_helper.from_array(weight, b.constants[0].name))
    x = b.op("Relu", "second.relu", b.conv("second", x, 16, 12))
    index = [c.name for c in b.constants].index("second.weight")
    weight = onnx.numpy_helper.to_array(b.constants[index]).copy()
    weight[:, :2] = 0
    b.constants[index].CopyFrom(onnx.numpy_helper.from_array(weight, "second.weight"))
    flat = b.op("ReduceMean", "flat", x, axes=[2, 3], keepdims=0)
    head = b.constant("fc.weight", b.rng.normal(size=(6, 12)).astype(np.float32))
    b.op("Gemm", "features", flat, head, transB=1)
    return b.model()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("best") / "model.onnx"
    onnx.save(with_loud_channels(), str(found))
    return found


def features(model: Any, images: np.ndarray) -> np.ndarray:
    """By ONNX Runtime, its fused 8-bit kernels switched off."""
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    data = model.SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"images": i[None]})[0] for i in images])


def with_float_weights(quantised: Any, model: Any) -> Any:
    """The quantised model with the float weights where it dequantizes integers."""
    weights = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in list(quantised.graph.node):
        if node.op_type == "DequantizeLinear" and node.input[0].removesuffix("/q") in weights:
            weight = weights[node.input[0].removesuffix("/q")]
            quantised.graph.node.remove(node)
            initializer = onnx.numpy_helper.from_array(weight, node.output[0])
            quantised.graph.initializer.append(initializer)
    return quantised


def error(model: Any, whole: Any, images: np.ndarray) -> float:
    want, got = features(whole, images), features(model, images)
    want, got = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (want, got))
    a, b = want - want.mean(axis=0), got - want.mean(axis=0)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(1 - cosine.mean())


def errors_of(path: Path, few: np.ndarray, policy: PlacementPolicy) -> dict[str, float]:
    """Every candidate's, for one target."""
    whole, found = onnx.load(str(path)), {}
    for name, decision in CANDIDATES.items():
        table = calibrate(path, [few], (policy,), decision, {}, 1)
        rounded = with_float_weights(quantize(whole, table, policy)[0], whole)
        found[name] = error(rounded, whole, few)
    return found


def test_the_chosen_method_is_the_one_with_the_least_error(path: Path, crops: np.ndarray) -> None:
    few = crops[:12]
    errors = errors_of(path, few, OPENVINO)
    best = calibrate(path, [few], (OPENVINO,), Decision(BEST), {"number": 12}, 1)
    chosen = min(errors, key=lambda name: errors[name])
    want = calibrate(path, [few], (OPENVINO,), CANDIDATES[chosen], {}, 1)
    assert chosen != "mse"
    assert errors[chosen] < 0.5 * errors["mse"]
    assert best.provenance["number"] == 12
    assert best.provenance["methods"] == {"openvino": pytest.approx(errors, abs=2e-6)}
    assert not best.targets
    for name, entry in best.entries.items():
        assert entry.ranges == want.entries[name].ranges
        assert entry.method == f"best: {chosen}"


def test_each_target_gets_the_method_that_suits_it(tmp_path: Path, crops: np.ndarray) -> None:
    path, few, policies = tmp_path / "model.onnx", crops[:12], (ONNXRUNTIME, OPENVINO)
    onnx.save(with_loud_channels(TWO_CHOICES), str(path))
    best = calibrate(path, [few], policies, Decision(BEST), {}, 1)
    chosen = {}
    for policy in policies:
        errors = errors_of(path, few, policy)
        assert best.provenance["methods"][policy.target] == pytest.approx(errors, abs=2e-6)
        name = chosen[policy.target] = min(errors, key=lambda name: errors[name])
        own = best.of(policy.target)
        assert {entry.method for entry in own.entries.values()} == {f"best: {name}"}
        alone = calibrate(path, [few], (policy,), CANDIDATES[name], {}, 1)
        got, want = (quantize(onnx.load(str(path)), t, policy)[0] for t in (best, alone))
        assert got == want
    assert len(set(chosen.values())) == 2
    assert best.targets.keys() == {"openvino"}


@pytest.mark.parametrize("copies", [1, 3])
def test_one_image_cannot_choose(path: Path, crops: np.ndarray, copies: int) -> None:
    same = np.repeat(crops[:1], copies, axis=0)
    with pytest.raises(InputError, match=r"at least two that differ.*--method mse"):
        calibrate(path, [same], (OPENVINO,), Decision(BEST), {}, 1)


def test_the_table_is_the_same_in_any_order_and_batch(path: Path, crops: np.ndarray) -> None:
    def made(batches: list[np.ndarray]) -> Any:
        return calibrate(path, batches, (OPENVINO,), Decision(BEST), {}, 1)

    one, two = made([crops[:24]]), made([crops[23:7:-1], crops[:8]])
    assert one.entries == two.entries
    assert one.provenance == two.provenance
