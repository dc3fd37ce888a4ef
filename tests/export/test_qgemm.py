"""Products of vectors in ONNX Runtime: one 8-bit operator each, and the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.engines.base import EngineOptions  # noqa: E402
from edgereid.engines.open import open_engine  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.int8 import write_quantized  # noqa: E402
from edgereid.export.placement import KEPT, place  # noqa: E402
from edgereid.export.policy import ONNXRUNTIME, ONNXRUNTIME_ARM, OPENVINO, TENSORRT  # noqa: E402
from edgereid.export.products import large_layers  # noqa: E402
from edgereid.export.qdq import quantize  # noqa: E402
from edgereid.export.qgemm import with_integer_gemms  # noqa: E402
from tests.export.conftest import Builder  # noqa: E402
from tests.export.test_qdq_engines import QUANTUM, reference, table_of  # noqa: E402

EVERY = replace(ONNXRUNTIME, gates=1, heads=1)


def _pooled(b: Builder, flat: bool = False) -> str:
    stem = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 8))
    return b.op("ReduceMean", "pooled.relu", stem, axes=[2, 3], keepdims=0 if flat else 1)


def _gemm(b: Builder, x: str, name: str = "fc", transB: int = 1, **factors: float) -> str:
    shape = (6, 8) if transB else (8, 6)
    weight = b.constant(f"{name}.weight", b.rng.normal(size=shape).astype(np.float32) / 3)
    bias = b.constant(f"{name}.bias", b.rng.normal(size=(1, 6)).astype(np.float32))
    return b.op("Gemm", name, x, weight, bias, transB=transB, **factors)


def convolution() -> Any:
    b = Builder()
    b.op("Flatten", "features", b.conv("head", _pooled(b), 8, 6))
    return b.model()


def without_bias() -> Any:
    b = Builder()
    b.op("Flatten", "features", b.conv("head", _pooled(b), 8, 6, bias=False))
    return b.model()


def one_weight_for_two() -> Any:
    b = Builder()
    x = _pooled(b)
    first = b.conv("head", x, 8, 6)
    other = b.op("Conv", "other", b.op("Sqrt", "root.relu", x), "head.weight", kernel_shape=[1, 1])
    b.op("Flatten", "features", b.op("Max", "larger", first, other))
    return b.model()


def two_layers() -> Any:
    b = Builder()
    middle = b.op("Relu", "middle.relu", b.conv("first", _pooled(b), 8, 8))
    b.op("Flatten", "features", b.conv("second", middle, 8, 6))
    return b.model()


def linear() -> Any:
    b = Builder()
    _gemm(b, _pooled(b, flat=True), "features")
    return b.model()


def linear_by_columns() -> Any:
    b = Builder()
    _gemm(b, _pooled(b, flat=True), "features", transB=0)
    return b.model()


def gate() -> Any:
    b = Builder()
    x = _pooled(b)
    gated = b.op("Mul", "gated", "stem.relu", b.op("Sigmoid", "gate", b.conv("logits", x, 8, 8)))
    mean = b.op("ReduceMean", "mean", b.conv("last", gated, 8, 6), axes=[2, 3], keepdims=0)
    b.op("Identity", "features", mean)
    return b.model()


def linear_gate() -> Any:
    b = Builder()
    x = _pooled(b, flat=True)
    weight = b.constant("logits.weight", b.rng.normal(size=(8, 8)).astype(np.float32) / 3)
    bias = b.constant("logits.bias", b.rng.normal(size=8).astype(np.float32))
    gates = b.op("Sigmoid", "gate", b.op("Gemm", "logits", x, weight, bias, transB=1))
    tall = b.op("Unsqueeze", "tall", gates, b.constant("axes", np.array([2, 3])))
    gated = b.op("Mul", "gated", "stem.relu", tall)
    mean = b.op("ReduceMean", "mean", b.conv("last", gated, 8, 6), axes=[2, 3], keepdims=0)
    b.op("Identity", "features", mean)
    return b.model()


NETWORKS: dict[Callable[[], Any], int] = {  # and how many products they have
    convolution: 1, without_bias: 1, one_weight_for_two: 2, two_layers: 2, linear: 1,
    linear_by_columns: 1, gate: 1, linear_gate: 1,
}  # fmt: skip


def _images(batch: int = 3) -> np.ndarray:
    return np.random.default_rng(2).uniform(-1, 1, size=(batch, 3, 16, 8)).astype(np.float32)


def _tolerance(make: Callable[[], Any]) -> float:
    """Of outputs where a bias alone was rounded; what a gate multiplies is rounded once more."""
    return QUANTUM if make in (gate, linear_gate) else 2e-4


def _optimized(model: Any, path: Path) -> tuple[Any, Any]:
    """A session on one thread, and the graph that it runs."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns that the optimized file is for this machine
    options.optimized_model_filepath = str(path)
    data = model.SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session, onnx.load(str(path))


@pytest.mark.parametrize(
    "policy", [EVERY, replace(ONNXRUNTIME_ARM, gates=1, heads=1)], ids=["x86", "arm"]
)
@pytest.mark.parametrize("make", NETWORKS)
def test_the_runtime_computes_each_product_in_8_bits_with_a_float_result(
    make: Callable[[], Any], policy: Any, tmp_path: Path
) -> None:
    model = make()
    quantized, placement = quantize(model, table_of(model), policy)
    assert placement.int8_share == 1.0
    session, ran = _optimized(with_integer_gemms(quantized), tmp_path / "ran.onnx")
    kinds = [node.op_type for node in ran.graph.node]
    assert kinds.count("QGemm") == NETWORKS[make]
    assert not {"Gemm", "FusedGemm", "MatMul"}.intersection(kinds)
    if policy is EVERY:  # signed convolutions are in 8 bits on Arm alone
        assert not {"Conv", "FusedConv"}.intersection(kinds)
    # What it replaces, one rounding of the bias apart, which is in no relation to a quantum.
    want = reference(quantized, _images())
    got = session.run(None, {"images": _images()})[0]
    np.testing.assert_allclose(got, want, rtol=0, atol=_tolerance(make))
    assert np.abs(want - reference(model, _images())).max() > 5e-4, "nothing was rounded at all"
    for i in range(3):  # nothing depends on the batch
        one = session.run(None, {"images": _images()[i : i + 1]})[0]
        np.testing.assert_allclose(one[0], got[i], rtol=0, atol=1e-5)


@pytest.mark.parametrize("make", NETWORKS)
def test_without_it_the_runtime_computes_them_in_float(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    model = make()
    quantized, _ = quantize(model, table_of(model), EVERY)
    _, ran = _optimized(quantized, tmp_path / "ran.onnx")
    kinds = {node.op_type for node in ran.graph.node}
    assert "QGemm" not in kinds
    assert kinds & {"Conv", "FusedConv", "Gemm", "FusedGemm"}


@pytest.mark.parametrize("make", NETWORKS)
def test_the_rewritten_model_means_the_same(make: Callable[[], Any]) -> None:
    model = make()
    quantized, _ = quantize(model, table_of(model), EVERY)
    before = quantized.SerializeToString()
    rewritten = with_integer_gemms(quantized)
    assert quantized.SerializeToString() == before
    want, got = reference(quantized, _images()), reference(rewritten, _images())
    np.testing.assert_allclose(got, want, rtol=0, atol=_tolerance(make))
    layers = {n.name for n in model.graph.node if n.op_type in ("Conv", "Gemm")}
    assert layers <= {n.name for n in rewritten.graph.node}  # found under their own names
    eight = [i for i in rewritten.graph.initializer if len(i.dims) > 1]
    assert all(i.data_type == onnx.TensorProto.INT8 for i in eight)
    weights = [i for i in model.graph.initializer if len(i.dims) > 1 and "weight" in i.name]
    bytes_of = sum(int(np.prod(i.dims)) for i in eight)
    shared = make is one_weight_for_two  # each of its two products has rows of its own
    assert bytes_of == sum(int(np.prod(i.dims)) for i in weights) + (48 if shared else 0)


def _grouped() -> Any:
    b = Builder()
    b.op("Flatten", "features", b.conv("head", _pooled(b), 8, 6, group=2))
    return b.model()


def _factor() -> Any:
    b = Builder()
    _gemm(b, _pooled(b, flat=True), "features", alpha=0.5)
    return b.model()


def _computed_bias() -> Any:
    b = Builder()
    _gemm(b, _pooled(b, flat=True), "features")
    b.op("Neg", "computed", "features.bias")
    *before, gemm, computed = b.nodes
    gemm.input[2] = "computed"
    b.nodes = [*before, computed, gemm]
    return b.model()


def _map() -> Any:
    b = Builder()
    x = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 8))
    b.op("ReduceMean", "features", b.conv("last", x, 8, 6), axes=[2, 3], keepdims=0)
    return b.model()


def _bias_by_image() -> Any:
    b = Builder()
    _gemm(b, _pooled(b, flat=True), "features")
    model = b.model()
    (bias,) = (i for i in model.graph.initializer if i.name == "features.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.ones((3, 6), np.float32), bias.name))
    return model


@pytest.mark.parametrize("make", [_grouped, _factor, _computed_bias, _bias_by_image, _map])
def test_what_is_no_plain_product_is_left_as_it_is(make: Callable[[], Any]) -> None:
    model = make()
    policy = replace(EVERY, inputs_of=("Conv", "Gemm"), outputs_of=())  # nothing else is rounded
    quantized, placement = quantize(model, table_of(model), policy)
    last = model.graph.node[-1] if make in (_factor, _computed_bias, _bias_by_image) else None
    assert last is None or placement.precision[last.name] == "int8", "it is no candidate"
    assert with_integer_gemms(quantized) is quantized


def test_a_result_that_is_rounded_is_left_as_it_is() -> None:
    """As in a model of ``quantize_static``: ONNX Runtime has an 8-bit convolution for it."""
    b = Builder()
    pooled = _pooled(b)
    weight = b.constant("w", b.rng.integers(-127, 127, size=(6, 8, 1, 1), dtype=np.int8))
    scale, zero = b.constant("scale", np.float32(QUANTUM)), b.constant("zero", np.uint8(0))
    scales = b.constant("scales", np.full(6, 0.01, np.float32))
    zeros = b.constant("zeros", np.zeros(6, np.int8))
    codes = b.op("QuantizeLinear", "codes", pooled, scale, zero)
    x = b.op("DequantizeLinear", "x", codes, scale, zero)
    y = b.op("Conv", "head", x, b.op("DequantizeLinear", "dq", weight, scales, zeros, axis=0))
    out = b.op("QuantizeLinear", "out", y, scale, zero)
    b.op("Flatten", "features", b.op("DequantizeLinear", "back", out, scale, zero))
    model = b.model()
    assert with_integer_gemms(model) is model
    b.nodes[-1].input[0] = y  # and nobody reads what is rounded
    del b.nodes[-3:-1]
    kinds = [node.op_type for node in with_integer_gemms(b.model()).graph.node]
    assert "Gemm" in kinds
    assert "Conv" in kinds  # the stem


def test_a_bias_far_beyond_its_channels_weights_fits_into_32_bits(tmp_path: Path) -> None:
    model = linear()
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).copy()
        if tensor.name == "features.weight":
            values[2] *= 1e-9
        if tensor.name == "features.bias":
            values[0, 2] = 3.0
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    quantized, _ = quantize(model, table_of(model), EVERY)
    session, _ = _optimized(with_integer_gemms(quantized), tmp_path / "ran.onnx")
    got = session.run(None, {"images": _images()})[0]
    np.testing.assert_allclose(got[:, 2], 3.0, atol=1e-4)


def test_layers_on_vectors_from_so_many_weights_on_are_in_8_bits() -> None:
    graph = Graph(two_layers())
    assert graph.weights["first.weight"].size == 64
    assert graph.weights["second.weight"].size == 48
    p = place(graph, replace(ONNXRUNTIME, heads=64))
    assert p.precision["first"] == "int8"
    assert p.precision["second"] == "int8 weights"
    assert "1x1 map" in p.reasons["second"]
    assert "first" not in p.reasons
    assert {"pooled.relu"} == p.activations.keys() - {"images", "stem.relu"}
    assert p.precision["middle.relu"] == "f32"  # what the product gives is float
    for policy in (replace(ONNXRUNTIME, heads=65, gates=1), replace(ONNXRUNTIME, heads=None)):
        assert place(graph, policy).reasons.keys() == {"first", "second"}
    kept = place(graph, replace(ONNXRUNTIME, heads=64), keep=("first",))
    assert (kept.reasons["first"], kept.precision["first"]) == (KEPT, "f32")
    assert "pooled.relu" not in kept.activations


def test_what_multiplies_a_map_is_a_gate_and_what_only_vectors_follow_is_head() -> None:
    gated, head = Graph(gate()), Graph(convolution())
    assert large_layers(gated, 64, None) == {"logits"}
    assert large_layers(gated, 65, 1) == large_layers(gated, None, 1) == frozenset()
    assert large_layers(head, None, 48) == {"head"}
    assert large_layers(head, 1, 49) == large_layers(head, 1, None) == frozenset()
    assert large_layers(Graph(linear_by_columns()), None, 1) == {"features"}


def test_where_a_shape_is_not_known_a_layer_counts_as_a_gate() -> None:
    b = Builder()
    axes = b.op("Abs", "axes", b.constant("wanted", np.array([2, 3])))
    b.op("Squeeze", "features", b.conv("head", _pooled(b), 8, 6), axes)
    model = b.model()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert "features" not in Graph(model).shapes, "the case is none"
    assert large_layers(Graph(model), None, 1) == frozenset()
    assert large_layers(Graph(model), 1, None) == {"head"}


def test_a_large_gate_in_groups_is_rounded_on_both_sides_in_onnxruntime() -> None:
    p = place(Graph(_grouped()), EVERY)
    assert p.precision["head"] == "int8"
    assert {"pooled.relu", "head"} <= p.activations.keys()


@pytest.mark.parametrize(
    ("target", "kind"), [("onnxruntime", "Gemm"), ("onnxruntime-arm", "Gemm"), ("tensorrt", "Conv")]
)
def test_the_files_of_onnxruntime_alone_are_rewritten(
    target: str, kind: str, tmp_path: Path
) -> None:
    model = convolution()
    quantized, _ = quantize(model, table_of(model), EVERY)
    path, _ = write_quantized(target, tmp_path, quantized)
    (head,) = (node for node in onnx.load(str(path)).graph.node if node.name == "head")
    assert head.op_type == kind


@pytest.mark.parametrize("make", [gate, linear_gate])
def test_openvino_gives_what_the_reference_evaluator_gives(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    model = make()
    quantized, placement = quantize(model, table_of(model), replace(OPENVINO, gates=1))
    assert placement.precision["logits"] == "int8"
    path, _ = write_quantized("openvino", tmp_path, quantized)
    with open_engine(path, EngineOptions(threads=1, precision="f32")) as engine:
        got = engine.run(_images())
    np.testing.assert_allclose(got, reference(quantized, _images()), rtol=0, atol=QUANTUM * 1.0001)


def test_openvino_has_large_gates_in_8_bits_and_no_head() -> None:
    assert OPENVINO.heads is None
    policy = replace(OPENVINO, gates=64)
    p = place(Graph(gate()), policy)
    assert (p.precision["logits"], p.precision["gate"]) == ("int8", "f32")
    assert "pooled.relu" in p.activations
    assert "logits" not in p.activations
    for make in (convolution, linear):
        head = place(Graph(make()), policy)
        assert "pooled.relu" not in head.activations
        assert "int8" not in (head.precision.get("head"), head.precision["features"])


def test_tensorrt_computes_them_in_float() -> None:
    assert TENSORRT.gates is TENSORRT.heads is None
    for make in (convolution, linear, gate):
        assert "pooled.relu" not in place(Graph(make()), TENSORRT).activations
