"""The Q/DQ writer: its model computes what fake quantisation in NumPy computes, and is lean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.calibration.collect import collect
from edgereid.calibration.table import CalibrationTable, decide
from edgereid.calibration.thresholds import Decision
from edgereid.errors import InputError
from edgereid.export.graph import Graph
from edgereid.export.placement import place, schemes_needed
from edgereid.export.policy import ONNXRUNTIME, OPENVINO, POLICIES, TENSORRT, PlacementPolicy
from edgereid.export.qdq import quantize

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

GOLDEN = Path(__file__).with_name("golden_qdq.txt")


@pytest.fixture(scope="module")
def table(small: Any, crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Ranges for all targets."""
    path = tmp_path_factory.mktemp("qdq") / "small.onnx"
    onnx.save(small, str(path))
    graph, policies = Graph(small), tuple(POLICIES.values())
    tensors = {s for p in policies for s in place(graph, p).activations.values()}
    seen = collect(path, [crops[:20], crops[20:]], tensors, threads=1)
    needed = schemes_needed(graph, policies, {n: h.low >= 0 for n, h in seen.items()})
    return decide(seen.values(), needed, Decision("mse"), {})


def run_ort(model: Any, images: np.ndarray, fused: bool) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not fused:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, {"images": images})[0])


def fake_quantised(
    model: Any, table: CalibrationTable, policy: PlacementPolicy, images: np.ndarray
) -> np.ndarray:
    """The float network, node by node in float32, rounding what the placement says by formula."""
    from onnx.reference import ReferenceEvaluator

    graph = Graph(model)
    placement = place(graph, policy)

    def rounded(name: str, value: np.ndarray) -> np.ndarray:
        source = placement.activations.get(name)
        if source is None:
            return value
        low = table.entry(source).low
        scheme = policy.nonnegative if low >= 0 else policy.signed
        covered = table.range(source, scheme)
        if scheme.symmetric:
            peak = max(-covered.low, covered.high)
            scale, zero = np.float32(peak / scheme.qmax), 0
        else:
            scale = np.float32((covered.high - covered.low) / 255)
            zero = round(-covered.low / scale)
        q = np.clip(np.rint(value / scale) + zero, scheme.qmin, scheme.qmax)
        return ((q - zero) * scale).astype(np.float32)

    values: dict[str, np.ndarray] = {}
    for name, weight in graph.weights.items():
        values[name] = weight
        if name in placement.weights:  # per channel of axis 0, symmetric, 127 levels a side
            flat = weight.reshape(len(weight), -1)
            scale = (np.abs(flat).max(axis=1, keepdims=True) / 127).astype(np.float32)
            values[name] = (np.rint(flat / scale) * scale).reshape(weight.shape).astype(np.float32)
    values["images"] = rounded("images", images)
    for node in graph.nodes:
        inputs = {n: values[n] for n in node.input}
        (out,) = ReferenceEvaluator(_alone(node, inputs)).run(None, inputs)
        values[node.output[0]] = rounded(node.output[0], out)
    return values["features"]


def _alone(node: Any, inputs: dict[str, np.ndarray]) -> Any:
    helper = onnx.helper
    graph = helper.make_graph(
        [node],
        "alone",
        [helper.make_tensor_value_info(n, 1, v.shape) for n, v in inputs.items()],
        [helper.make_tensor_value_info(node.output[0], 1, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_the_model_computes_what_fake_quantisation_by_formula_does(
    small: Any, table: CalibrationTable, crops: np.ndarray, policy: PlacementPolicy
) -> None:
    model, _ = quantize(small, table, policy)
    want = fake_quantised(small, table, policy, crops[:8])
    got = run_ort(model, crops[:8], fused=False)
    # A sum in another order can move one value across a rounding edge: one quantum in places.
    np.testing.assert_allclose(got, want, atol=2e-2)
    assert np.median(np.abs(got - want)) < 1e-4
    floats = run_ort(small, crops[:8], fused=False)
    assert np.abs(got - floats).max() > 1e-2  # the comparison above is not of float with float


@pytest.mark.parametrize("policy", [ONNXRUNTIME, OPENVINO], ids=lambda p: p.target)
def test_fused_8_bit_kernels_agree_with_the_unfused_model(
    small: Any, table: CalibrationTable, crops: np.ndarray, policy: PlacementPolicy
) -> None:
    model, _ = quantize(small, table, policy)
    fused, plain = (run_ort(model, crops, fused=f) for f in (True, False))
    spread = plain.std(axis=0).mean()
    assert np.abs(fused - plain).mean() < 0.05 * spread


def test_the_tensorrt_model_obeys_its_rules(small: Any, table: CalibrationTable) -> None:
    model, placement = quantize(small, table, TENSORRT)
    graph = Graph(model)
    assert graph.opset == 17
    pairs = [n for n in graph.nodes if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        zero = graph.weights[node.input[2]]
        assert zero.dtype == np.int8, node.name
        assert not zero.any(), node.name
        assert (graph.weights[node.input[1]] > 0).all(), node.name
    for node in (n for n in pairs if n.input[0] in graph.weights):
        weight, scale = graph.weights[node.input[0]], graph.weights[node.input[1]]
        assert weight.dtype == np.int8
        assert weight.ndim == 4
        assert [a.i for a in node.attribute if a.name == "axis"] == [0]
        assert scale.shape == (weight.shape[0],)
    for node in graph.nodes:
        if node.op_type == "Conv" and len(node.input) == 3:
            assert graph.weights[node.input[2]].dtype == np.float32, "a bias stays float"
    total = next(n for n in graph.nodes if n.name == "sum")
    assert total.input[:] == ["expand", "short/dq"], "the identity input, not the branch"
    assert "dw" in placement.reasons


def test_every_reader_of_a_quantised_tensor_reads_the_rounded_one(
    small: Any, table: CalibrationTable
) -> None:
    model, placement = quantize(small, table, ONNXRUNTIME)
    for node in model.graph.node:
        for name in node.input:
            assert name not in placement.activations or node.op_type == "QuantizeLinear"
    assert [o.name for o in model.graph.output] == ["features"]


def test_weights_are_stored_as_8_bits_and_the_float_model_is_left_alone(
    small: Any, table: CalibrationTable
) -> None:
    before = small.SerializeToString()
    model, placement = quantize(small, table, OPENVINO)
    assert small.SerializeToString() == before
    stored = Graph(model).weights
    assert placement.weights.keys().isdisjoint(stored)
    assert all(stored[f"{name}/q"].dtype == np.int8 for name in placement.weights)


def test_the_bytes_of_a_quantised_model_do_not_change(make_small: Callable[..., Any]) -> None:
    """Golden: scales, zero points, names and order. Change it only with the format."""
    from edgereid.calibration.scheme import SCHEMES, UINT8_AFFINE, Range
    from edgereid.calibration.table import Entry

    model = make_small()
    names = ["images", *(name for node in model.graph.node for name in node.output)]
    ranges = {s: Range(-0.5, 2.0) for s in SCHEMES} | {"uint8": Range(0.0, 2.0)}
    lows = {n: 0.0 if "relu" in n else -0.5 for n in names}
    table = CalibrationTable({n: Entry(lows[n], 2.0, 1, "minmax", ranges) for n in names})
    quantised, _ = quantize(model, table, replace(OPENVINO, signed=UINT8_AFFINE, outputs_of=()))
    parts = [f"{n.op_type} {n.name} {list(n.input)} {list(n.output)}" for n in quantised.graph.node]
    parts += [
        f"{i.name} {i.data_type} {list(i.dims)} {hashlib.sha256(i.raw_data).hexdigest()[:8]}"
        for i in quantised.graph.initializer
    ]
    assert "\n".join(parts) + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_an_operator_set_without_scales_per_channel_is_refused(
    make_small: Callable[..., Any], table: CalibrationTable
) -> None:
    with pytest.raises(InputError, match="operator set 12"):
        quantize(make_small(opset=12), table, OPENVINO)


def test_the_table_of_another_model_is_refused(small: Any, table: CalibrationTable) -> None:
    entries = {n: e for n, e in table.entries.items() if n != "running"}
    with pytest.raises(InputError, match="no tensor 'running'"):
        quantize(small, replace(table, entries=entries), OPENVINO)
