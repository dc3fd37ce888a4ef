"""Where a fault begins: NaN, constant embeddings, a batch that mixes, a quantised layer that loses
the image. Faults are planted in a layer, and that layer must be named."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import numpy_helper  # noqa: E402

from edgereid.calibration.table import CalibrationTable, Entry  # noqa: E402
from edgereid.calibration.thresholds import Decision  # noqa: E402
from edgereid.errors import InputError  # noqa: E402
from edgereid.export import pipeline, probe  # noqa: E402
from edgereid.export.checks import MIN_SPREAD, CollapseError, measure_agreement  # noqa: E402
from edgereid.export.collapse import collapse_begins, lost  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.int8 import calibrate  # noqa: E402
from edgereid.export.policy import ONNXRUNTIME, POLICIES  # noqa: E402
from edgereid.export.probe import (  # noqa: E402
    activations,
    begins,
    constant_from,
    not_finite,
    spread_of,
)
from edgereid.export.qdq import quantize  # noqa: E402


@pytest.fixture(scope="module")
def table(small: Any, crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("collapse") / "model.onnx"
    path.write_bytes(small.SerializeToString())
    return calibrate(path, [crops], (ONNXRUNTIME,), Decision("minmax", 99.99), {}, 1)


def scaled_range(table: CalibrationTable, tensor: str, factor: float) -> CalibrationTable:
    """The table with a range of one tensor that is wrong by a factor."""
    old = table.entries[tensor]
    ranges = {n: type(r)(r.low * factor, r.high * factor) for n, r in old.ranges.items()}
    wrong = Entry(old.low, old.high, old.count, old.method, ranges)
    return CalibrationTable({**table.entries, tensor: wrong}, {})


def planted(model: Any, initializer: str, value: float) -> Any:
    """The model with one value in a constant."""
    found = copy.deepcopy(model)
    for tensor in found.graph.initializer:
        if tensor.name == initializer:
            array = numpy_helper.to_array(tensor).copy()
            array.flat[0] = value
            tensor.CopyFrom(numpy_helper.from_array(array, initializer))
    return found


@pytest.mark.parametrize(
    ("tensor", "readers"), [("stem.relu", {"pool"}), ("sum.relu", {"grouped"}), ("avg", {"last"})]
)
def test_the_layer_behind_a_hopeless_range_is_named(
    tensor: str, readers: set[str], small: Any, table: Any, crops: np.ndarray
) -> None:
    quantised, _ = quantize(small, scaled_range(table, tensor, 1e5), POLICIES["onnxruntime"])
    said = collapse_begins(small, quantised, crops, 1)
    layer, _, why = said.partition(", ")
    assert layer.removeprefix("it begins at ") in readers
    assert why == f"whose input {tensor} is lost in rounding"


def test_a_sound_quantised_model_has_no_such_layer(
    small: Any, table: Any, crops: np.ndarray
) -> None:
    quantised, _ = quantize(small, table, POLICIES["onnxruntime"])
    assert "no layer of the Q/DQ model" in collapse_begins(small, quantised, crops, 1)


def test_rows_are_lost_when_they_no_longer_follow() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(16, 20)).astype(np.float32) + 5
    mean = rows.mean(axis=0)
    assert not lost(rows + 0.1 * rng.normal(size=rows.shape).astype(np.float32), rows)
    assert lost(mean + (MIN_SPREAD - 0.02) * (rows - mean), rows)
    assert lost(rows[::-1].copy(), rows)
    assert lost(np.full_like(rows, np.nan), rows)
    assert lost(rows[:, :3], rows)
    assert not lost(np.zeros_like(rows), np.full_like(rows, 7.0)), "it told nothing before"


@pytest.mark.parametrize(
    ("initializer", "value", "node"),
    [
        ("mid.weight", np.nan, "mid"),
        ("gate.bias", np.inf, "gate"),
        ("fc.weight", np.nan, "features"),
    ],
)
def test_the_first_layer_with_nan_or_infinity_is_named(
    initializer: str, value: float, node: str, small: Any, crops: np.ndarray
) -> None:
    model = planted(small, initializer, value)
    # A gate of infinity makes NaN only in the softmax behind it; the fault begins in the gate.
    assert not_finite(model, crops[:8], "features", 4, 1) == node
    assert not_finite(small, crops[:8], "features", 4, 1) == ""


def test_the_layer_from_which_on_nothing_varies_is_named(small: Any, crops: np.ndarray) -> None:
    dead = copy.deepcopy(small)
    for tensor in dead.graph.initializer:
        if tensor.name == "last.weight":
            tensor.CopyFrom(
                numpy_helper.from_array(np.zeros((10, 12, 1, 1), np.float32), tensor.name)
            )
    assert constant_from(dead, crops[:8], "features", 4, 1, 1e-3) == "last"
    assert constant_from(small, crops[:8], "features", 4, 1, 1e-3) == ""


def test_activations_are_those_of_the_reference_evaluator_in_any_grouping(
    small: Any, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnx.reference import ReferenceEvaluator

    tensors = {name for node in small.graph.node for name in node.output}
    once = dict(activations(small, crops[:6], tensors, 3, 1))
    monkeypatch.setattr(probe, "_BUDGET", 6 * 4 * 1500)  # several groups
    apart = dict(activations(small, crops[:6], tensors, 6, 1))
    assert list(once) == list(apart)
    assert set(once) == tensors
    session = ReferenceEvaluator(small)
    for name in ("stem", "running", "gate.softmax", "features"):
        shown = copy.deepcopy(small)
        del shown.graph.output[:]
        shown.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
        want = ReferenceEvaluator(shown).run(None, {"images": crops[:6]})[0].reshape(6, -1)
        np.testing.assert_allclose(once[name], want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(apart[name], want, rtol=1e-4, atol=1e-5)
    assert session.output_names == ["features"]


def test_a_fault_is_followed_back_through_bad_tensors_only(small: Any) -> None:
    graph = Graph(small)
    after = {"gated", "expand", "sum", "sum.relu", "grouped", "grouped.relu", "avg", "last"}
    bad = after | {"last.relu", "flat", "features"}
    assert begins(graph, bad.__contains__, "features") == "gated"
    assert begins(graph, (bad | {"pool"}).__contains__, "features") == "gated", "pool: no way there"
    assert begins(graph, (bad - {"features"}).__contains__, "features") == ""


def test_spread_is_relative_to_the_length() -> None:
    rows = np.float32([[3, 4], [3, 4]])
    assert spread_of(rows) == 0
    assert spread_of(np.float32([[1, 0], [-1, 0]])) == pytest.approx(1)
    rng = np.random.default_rng(1).normal(size=(9, 5)).astype(np.float32)
    assert spread_of(1000 * rng) == pytest.approx(spread_of(rng))


def test_a_collapse_in_the_export_is_refused_with_its_layer(
    small: Any, table: Any, crops: np.ndarray, tmp_path: Any
) -> None:
    """The whole engine is built and checked; the message is one line."""
    from edgereid.export.int8 import build_engine

    (tmp_path / "model.onnx").write_bytes(small.SerializeToString())
    wrong = scaled_range(table, "sum.relu", 1e5)
    reference = dict(activations(small, crops, {"features"}, 8, 1))["features"]
    with pytest.raises(CollapseError, match=r"has collapsed|has lost"):
        build_engine("onnxruntime", tmp_path, wrong, crops, reference, 1)

    class Job:
        directory, model, threads = tmp_path, tmp_path / "model.onnx", 1
        build = staticmethod(build_engine)

    with pytest.raises(InputError, match=r"; it begins at grouped, whose input sum\.relu") as told:
        pipeline._build(Job(), "onnxruntime", wrong, crops, reference)  # type: ignore[arg-type]
    assert "\n" not in str(told.value)


def test_the_certificate_of_the_checks_is_that_of_the_retrieval_room() -> None:
    from edgereid.retrieval.certificate import certify

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 6)).astype(np.float32)
    moved = rows + 0.02 * rng.normal(size=rows.shape).astype(np.float32)
    images = rng.normal(size=(20, 3, 2, 2)).astype(np.float32)
    known = {i.tobytes(): m for i, m in zip(images, moved, strict=True)}
    got = measure_agreement(lambda x: np.stack([known[i.tobytes()] for i in x]), images, rows)
    want = certify((rows, None), (moved, None), "cosine")
    assert (got.certified, got.certified_mixed, got.kept) == (
        want.certified, want.certified_mixed, want.kept,
    )  # fmt: skip
    assert got.crops == 20
    assert 0 < got.certified < 1


def test_an_odd_batch_that_changes_an_embedding_is_seen() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 12)).astype(np.float32)
    images = rows.reshape(20, 3, 2, 2)

    def run(x: np.ndarray) -> np.ndarray:
        out = x.reshape(len(x), 12).copy()
        return np.roll(out, 1, axis=0) if len(x) == 3 else out

    with pytest.raises(InputError, match="another embedding in another batch"):
        measure_agreement(run, images, rows).require("engine.xml")
