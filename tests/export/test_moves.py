"""Tensors that moving operators join lie on one grid, and their codes arrive as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.histogram import Histogram  # noqa: E402
from edgereid.calibration.thresholds import AUTO, Decision  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.int8 import calibrate  # noqa: E402
from edgereid.export.moves import MOVES, SharedGrid, shared_grids, with_shared  # noqa: E402
from edgereid.export.placement import place  # noqa: E402
from edgereid.export.policy import ONNXRUNTIME, OPENVINO  # noqa: E402
from edgereid.export.qdq import quantize  # noqa: E402
from tests.export.conftest import Builder  # noqa: E402


def shuffled() -> Any:
    """Two ShuffleNet units, in which half of the channels pass, and a float head."""
    b = Builder()
    x = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 8, 3))
    for i in range(2):
        starts, ends, middle = ([b.constant(f"{i}.{n}", np.array([v]))] for n, v in
                                (("zero", 0), ("four", 4), ("eight", 8)))  # fmt: skip
        axis = b.constant(f"{i}.axis", np.array([1]))
        left = b.op("Slice", f"{i}.left", x, *starts, *ends, axis)
        right = b.op("Slice", f"{i}.right", x, *ends, *middle, axis)
        made = b.op("Relu", f"{i}.relu", b.conv(f"{i}.conv", right, 4, 4))
        both = b.op("Concat", f"{i}.both", left, made, axis=1)
        split = b.constant(f"{i}.split", np.array([0, 2, 4, 16, 8]))
        turned = b.op("Transpose", f"{i}.turned", b.op("Reshape", f"{i}.groups", both, split),
                      perm=[0, 2, 1, 3, 4])  # fmt: skip
        whole = b.constant(f"{i}.whole", np.array([0, 8, 16, 8]))
        x = b.op("Reshape", f"{i}.out", turned, whole)
    last = b.op("Relu", "last.relu", b.conv("last", x, 8, 10))
    flat = b.op("ReduceMean", "flat", last, axes=[2, 3], keepdims=0)
    weight = b.constant("fc.weight", b.rng.normal(size=(6, 10)).astype(np.float32))
    b.op("Gemm", "features", flat, weight, transB=1)
    return b.model()


ENTRIES = ("stem.relu", "0.relu", "1.relu")
ALONE = ("images", "last.relu")  # not moved


@pytest.fixture(scope="module")
def float_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("moves") / "model.onnx"
    onnx.save(shuffled(), str(path))
    return path


def table_for(path: Path, crops: Any, method: str = "mse") -> Any:
    batches = [crops[:24], crops[24:]]
    return calibrate(path, batches, (OPENVINO, ONNXRUNTIME), Decision(method), {}, 1)


def test_what_enters_is_rounded_on_one_grid_and_what_is_moved_is_not_rounded_again() -> None:
    p = place(Graph(shuffled()), OPENVINO)
    name = f"shared/{ENTRIES[0]}"
    assert dict(p.activations) == {**{n: n for n in ALONE}, **dict.fromkeys(ENTRIES, name)}
    assert p.shared == {name: ENTRIES}
    parts = ("left", "right", "both", "groups", "turned", "out")
    assert set(p.carried) == {f"{i}.{part}" for i in range(2) for part in parts}
    assert set(p.carried.values()) == {name}
    assert p.int8_share > 0.98  # all but the head
    assert {p.precision[n] for n in (*p.carried, "0.conv", "1.conv", "last")} == {"int8"}
    assert p.precision["features"] == "int8 weights"


def test_a_policy_without_moves_rounds_every_input_on_its_own_grid() -> None:
    p = place(Graph(shuffled()), ONNXRUNTIME)
    assert {"stem.relu", "0.right", "0.relu", "1.right", "1.out"} <= p.activations.keys()
    assert all(name == source for name, source in p.activations.items())
    assert not p.carried
    assert not p.shared


def test_layers_kept_in_float_change_no_range_and_none_left_means_no_grid() -> None:
    graph = Graph(shuffled())
    some = place(graph, OPENVINO, keep=("0.conv", "last"))
    assert some.shared == place(graph, OPENVINO).shared
    assert some.precision["0.conv"] == "f32"
    none = place(graph, OPENVINO, keep=("0.conv", "1.conv", "last"))
    assert not none.shared
    assert set(none.activations) == {"images"}


@pytest.mark.parametrize("method", ["mse", "minmax", AUTO])
def test_the_shared_range_is_that_of_all_values_that_enter(
    float_path: Path, crops: Any, method: str
) -> None:
    import onnxruntime as ort

    table = table_for(float_path, crops, method)
    model = shuffled()
    for name in ENTRIES:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values = np.concatenate([v.ravel() for v in session.run(list(ENTRIES), {"images": crops})])
    entry = table.entry(f"shared/{ENTRIES[0]}")
    assert entry.count == values.size
    assert (entry.low, entry.high) == pytest.approx((values.min(), values.max()), rel=1e-6)
    found = table.range(f"shared/{ENTRIES[0]}", OPENVINO.nonnegative)
    if method == "minmax":
        assert found.high == pytest.approx(values.max(), rel=1e-6)
    else:
        errors = {}
        for high in (found.high, 0.7 * found.high, 1.4 * found.high):
            step = high / 255
            errors[high] = np.square(np.clip(np.rint(values / step), 0, 255) * step - values).sum()
        assert min(errors, key=lambda high: errors[high]) == found.high


def test_codes_arrive_as_they_were(float_path: Path, crops: Any) -> None:
    """Everything that was moved lies on the grid, exactly; so do runs of OpenVINO."""
    from onnx.reference import ReferenceEvaluator

    table = table_for(float_path, crops)
    quantised, placement = quantize(shuffled(), table, OPENVINO)
    made = {n.output[0] for n in quantised.graph.node if n.op_type == "QuantizeLinear"}
    assert made == {f"{name}/q" for name in (*ALONE, *ENTRIES)}
    grid = table.range(f"shared/{ENTRIES[0]}", OPENVINO.nonnegative)
    scale, _ = OPENVINO.nonnegative.parameters(grid)
    moved = sorted(placement.carried)
    for name in moved:
        quantised.graph.output.append(onnx.ValueInfoProto(name=name))
    evaluator = ReferenceEvaluator(onnx.version_converter.convert_version(quantised, 19))
    for value in evaluator.run(moved, {"images": crops[:4]}):
        codes = value / scale
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
        assert codes.max() > 100  # the grid is used


def test_openvino_moves_them_in_eight_bits(float_path: Path, crops: Any, tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    quantised, _ = quantize(shuffled(), table_for(float_path, crops), OPENVINO)
    onnx.save(quantised, str(tmp_path / "q.onnx"))
    model = ov.Core().read_model(str(tmp_path / "q.onnx"))
    model.reshape([1, 3, 16, 8])
    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    ran = [op.get_rt_info() for op in ov.compile_model(model, "CPU", hints)
           .get_runtime_model().get_ops()]  # fmt: skip
    kinds = [(i["layerType"].astype(str), i["runtimePrecision"].astype(str)) for i in ran]
    joined = [precision for kind, precision in kinds if kind in ("Concat", "Concatenation")]
    assert joined
    assert set(joined) <= {"u8", "i8"}
    assert sum(p in ("u8", "i8") for kind, p in kinds if kind == "Convolution") == 4


def test_an_output_of_the_graph_among_them_prevents_it() -> None:
    model = shuffled()
    model.graph.output.append(onnx.ValueInfoProto(name="0.both"))
    p = place(Graph(model), OPENVINO)
    assert not p.carried
    assert {"0.right", "1.right", "1.out"} <= p.activations.keys()


def test_a_constant_among_them_prevents_it() -> None:
    """It has no calibrated range; what lies before it is not joined with it."""
    model = shuffled()
    token = onnx.numpy_helper.from_array(np.ones((1, 4, 16, 8), np.float32), "token")
    model.graph.initializer.append(token)
    next(n for n in model.graph.node if n.name == "1.both").input[0] = "token"
    p = place(Graph(model), OPENVINO)
    assert "1.both" not in p.carried
    assert p.activations["1.out"] == "1.out"
    assert "0.both" in p.carried


def test_joined_sets_are_those_of_a_naive_search() -> None:
    """Random graphs of moving operators against a search from every tensor."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        b = Builder()
        tensors = ["images", *(b.op("Relu", f"r{i}", "images") for i in range(3))]
        links: list[tuple[str, str]] = []
        for i in range(8):
            a, c = (tensors[j] for j in rng.integers(len(tensors), size=2))
            kind = str(rng.choice(["Concat", "Identity", "Relu"]))
            out = b.op(kind, f"t{i}", *((a, c) if kind == "Concat" else (a,)))
            if kind != "Relu":
                links += [(out, a), *([(out, c)] if kind == "Concat" else [])]
            tensors.append(out)
        graph = Graph(onnx.helper.make_model(onnx.helper.make_graph(
            b.nodes, "g", [onnx.helper.make_tensor_value_info("images", 1, [1, 3, 16, 8])], []
        )))  # fmt: skip

        def reach(start: str, links: list[tuple[str, str]] = links) -> frozenset[str]:
            seen, todo = {start}, [start]
            while todo:
                name = todo.pop()
                near = {x for pair in links if name in pair for x in pair} - seen
                seen |= near
                todo += sorted(near)
            return frozenset(seen)

        want = {reach(a) for a, _ in links}
        found = shared_grids(graph, tuple(MOVES), tensors)
        assert {frozenset((*g.entries, *g.carried)) for g in found} == want


def test_the_histogram_of_a_shared_range_is_that_of_all_values() -> None:
    rng = np.random.default_rng(0)
    parts = {n: (rng.normal(size=500) * s).astype(np.float32) for n, s in (("a", 1), ("b", 9))}
    histograms = {}
    for name, values in parts.items():
        histograms[name] = Histogram(name)
        histograms[name].add(values)
    whole = Histogram("shared/a")
    for values in parts.values():
        whole.add(values)
    found = with_shared(histograms, {"shared/a": ("a", "b")})
    assert set(found) == {"a", "b", "shared/a"}
    assert found["shared/a"].low == whole.low
    assert np.array_equal(found["shared/a"].counts, whole.counts)
    assert replace(found["a"]) == histograms["a"]


def test_a_grid_of_one_tensor_has_that_tensors_name() -> None:
    assert SharedGrid(("a",), frozenset("b")).name == "a"
    assert SharedGrid(("a", "c"), frozenset("b")).name == "shared/a"
