"""What is done to a graph: each difficulty in a graph of its own, its numbers checked against
ONNX's reference evaluator on the graph as it was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper  # noqa: E402

from edgereid.errors import InputError  # noqa: E402
from edgereid.export.incoming.network import Incoming  # noqa: E402
from edgereid.export.incoming.options import IncomingOptions  # noqa: E402

Saver = Callable[..., Path]


@pytest.fixture
def prepared(save: Saver, images: np.ndarray, tmp_path: Path) -> Callable[..., Any]:
    """The whole way: file -> checked, prepared and compared -> the model that was written."""

    def take(model: Any, **options: Any) -> Any:
        incoming = Incoming(save(model), IncomingOptions(**options), threads=1)
        (tmp_path / "out").mkdir()
        written = incoming.write(tmp_path / "out", images)
        found = onnx.load(str(tmp_path / "out" / "model.onnx"))
        onnx.checker.check_model(found, full_check=True)
        assert len(written.reference) == len(images)
        return found

    return take


def kinds(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_the_result_looks_like_our_own_files(foreign: Any, prepared: Any) -> None:
    g = foreign(opset=12, ir=7)
    model = prepared(g.model(g.flat(g.pooled(g.stem()))))
    (source,), (out,) = model.graph.input, model.graph.output
    assert (source.name, out.name) == ("images", "features")
    dims = source.type.tensor_type.shape.dim
    assert (dims[0].dim_param, [d.dim_value for d in dims][1:]) == ("batch", [3, 8, 4])
    assert out.type.tensor_type.shape.dim[1].dim_value == 6
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    assert len(model.opset_import) == 1


@pytest.mark.parametrize("opset", [11, 12, 13, 16, 17, 18, 20])
def test_old_operator_sets_are_upgraded_and_new_ones_left(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray, opset: int
) -> None:
    """Softmax, Squeeze, Unsqueeze, ReduceMean and Clip changed between these sets."""
    g = foreign(opset=opset, ir=6 if opset == 11 else 8)
    axes = {"axes": [2, 3]} if opset < 18 else {}
    more = [g.shape(2, 3)] if opset >= 18 else []
    mean = g.op("ReduceMean", g.stem(), *more, keepdims=1, **axes)
    if opset < 13:
        flat = g.op("Squeeze", mean, axes=[2, 3])
        again = g.op("Squeeze", g.op("Unsqueeze", flat, axes=[1]), axes=[1])
    else:
        flat = g.op("Squeeze", mean, g.shape(2, 3))
        again = g.op("Squeeze", g.op("Unsqueeze", flat, g.shape(1)), g.shape(1))
    soft = g.op("Softmax", g.op("Clip", again, g.constant(0.0)), axis=1)
    original = g.model(soft)
    model = prepared(original)
    assert model.opset_import[0].version == max(opset, 17)
    assert_allclose(
        evaluate(model, images, 32), evaluate(original, images, 32), rtol=1e-4, atol=1e-5
    )


def test_constants_may_be_listed_as_inputs_as_old_files_have_them(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray
) -> None:
    g = foreign(opset=11, ir=3)
    original = g.model(g.flat(g.pooled(g.stem())))
    for tensor in original.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        original.graph.input.append(value)
    model = prepared(original)
    assert len(model.graph.input) == 1
    assert_allclose(evaluate(model, images, 32), evaluate(original, images, 32), atol=1e-5)


def test_what_does_nothing_is_taken_out_and_constants_are_gathered(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray
) -> None:
    g = foreign()
    factor = g.op("Constant", value=numpy_helper.from_array(np.float32([[2.0]])))
    more = g.op("Constant", value_floats=[1.0] * 6)
    x = g.op("Identity", g.op("Dropout", g.op("Identity", g.flat(g.pooled(g.stem())))))
    out = g.op("Identity", g.op("Abs", g.op("Mul", g.op("Sub", x, more), factor)))
    original = g.model(out)
    model = prepared(original)
    assert not {"Constant", "Identity", "Dropout"} & set(kinds(model))
    assert_allclose(evaluate(model, images, 32), evaluate(original, images, 32), atol=1e-5)


def test_an_output_that_is_only_handed_on_keeps_its_number(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray
) -> None:
    """The same tensor is read inside as well."""
    g = foreign()
    x = g.flat(g.pooled(g.stem()))
    out = g.op("Identity", g.op("Add", x, g.op("Tanh", x)))
    original = g.model(out)
    model = prepared(original)
    assert kinds(model)["Identity"] == 0
    assert_allclose(evaluate(model, images, 32), evaluate(original, images, 32), atol=1e-5)


def test_odd_missing_and_equal_names_are_made_plain(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray
) -> None:
    g = foreign(source="in put\n:0 é")
    x = g.op("Conv", g.source, g.normal(6, 3, 1, 1), name="")
    for name in ("", "same", "same", "a b\tc"):
        x = g.op("Relu", g.op("Abs", x, name=name), name=name)
    out = g.flat(g.pooled(x))
    original = g.model(out)
    # What the Q/DQ writer would call its own tensors.
    calls = {"t1": "images", "t2": "t0/q", "t3": "zero/1/\x01", "t4": "shared/t0"}
    for node in original.graph.node:
        for ends in (node.input, node.output):
            ends[:] = [calls.get(n, n) for n in ends]
    model = prepared(original)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert all(names)
    assert {"same", "same_1", "a_b_c"} <= set(names)
    tensors = {name for node in model.graph.node for name in (*node.input, *node.output)}
    assert all(name.isascii() and name.isprintable() and " " not in name for name in tensors)
    reserved = ("zero/", "shared/")
    assert not [t for t in tensors if t.endswith(("/q", "/dq")) or t.startswith(reserved)]
    assert_allclose(evaluate(model, images, 32), evaluate(original, images, 32), atol=1e-5)


def test_batch_norm_and_other_factors_fold_into_the_layer_before_them(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray
) -> None:
    g = foreign()
    x = g.op("Relu", g.norm(g.conv(g.source, 3, 6, 3), 6))
    x = g.op("Relu", g.norm(g.op("Conv", x, g.normal(6, 3, 1, 1), group=2), 6))
    scaled = g.op("Mul", g.constant(g.rng.normal(size=(1, 8, 1, 1))), g.conv(x, 6, 8))
    x = g.op("Add", scaled, g.constant(g.rng.normal(size=(8, 1, 1))))
    x = g.norm(g.op("Add", x, g.constant(0.5)), 8)
    flat = g.flat(g.pooled(g.op("Relu", x)))
    product = g.op("MatMul", flat, g.op("Transpose", g.normal(5, 8), perm=[1, 0]))
    x = g.norm(g.op("Add", g.constant(g.rng.normal(size=5)), product), 5)
    original = g.model(g.norm(g.op("Gemm", x, g.normal(4, 5), transB=1), 4))
    model = prepared(original)
    assert kinds(model) == {
        "Conv": 3, "Relu": 3, "GlobalAveragePool": 1, "Flatten": 1, "Gemm": 2,
    }  # fmt: skip
    assert_allclose(
        evaluate(model, images, 32), evaluate(original, images, 32), rtol=1e-4, atol=1e-5
    )


def test_what_is_read_twice_or_does_more_than_a_channel_is_not_folded(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray
) -> None:
    g = foreign()
    first = g.conv(g.source, 3, 6)
    x = g.op("Add", g.norm(first, 6), first)  # the convolution is read twice
    wide = g.op("Mul", g.conv(x, 6, 6), g.constant(g.rng.normal(size=(1, 1, 1, 4))))  # per column
    out = g.norm(g.flat(g.pooled(wide)), 6)  # behind no layer
    half = g.op("Gemm", out, g.normal(6, 5), alpha=0.5)
    original = g.model(g.norm(half, 5))
    model = prepared(original)
    assert kinds(model)["BatchNormalization"] == 3
    assert kinds(model)["Mul"] == 1
    assert_allclose(
        evaluate(model, images, 32), evaluate(original, images, 32), rtol=1e-4, atol=1e-5
    )


def test_weights_that_two_layers_share_are_folded_for_each_by_itself(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray
) -> None:
    g = foreign()
    weight = g.normal(6, 6, 1, 1)
    again = g.op("Identity", weight)  # as PyTorch's exporter writes shared weights
    x = g.op("Relu", g.norm(g.op("Conv", g.stem(), weight), 6))
    x = g.op("Relu", g.norm(g.op("Conv", x, again), 6))
    original = g.model(g.flat(g.pooled(g.op("Conv", x, weight))))
    model = prepared(original)
    assert kinds(model)["Conv"] == 4
    assert "BatchNormalization" not in kinds(model)
    assert_allclose(
        evaluate(model, images, 32), evaluate(original, images, 32), rtol=1e-4, atol=1e-5
    )


def test_a_pooled_map_is_flattened(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray
) -> None:
    g = foreign()
    original = g.model(g.pooled(g.stem()))
    model = prepared(original)
    want = evaluate(original, images, 32)
    assert want.ndim == 4
    assert_allclose(evaluate(model, images, 32), want[:, :, 0, 0], atol=1e-5)


@pytest.mark.parametrize("wanted", ["t4", "t2"])
def test_one_of_several_outputs_or_a_tensor_inside_is_chosen(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray, wanted: str
) -> None:
    g = foreign()
    x = g.pooled(g.stem())  # t2
    embedding = g.op("Gemm", g.flat(x), g.normal(6, 5))  # t4
    logits = g.op("Gemm", embedding, g.normal(5, 9))
    model = prepared(g.model(embedding, logits), output=wanted)
    want = evaluate(g.model(wanted), images, 32).reshape(32, -1)
    assert_allclose(evaluate(model, images, 32), want, atol=1e-5)
    assert kinds(model)["Gemm"] == (wanted == "t4")


def test_an_open_size_is_fixed(foreign: Any, prepared: Any, images: np.ndarray) -> None:
    g = foreign(size=("h", "w"))
    model = prepared(g.model(g.flat(g.pooled(g.stem()))), input_size=(8, 4))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in dims][2:] == [8, 4]


def test_weights_in_a_file_beside_it_come_into_the_one_file(
    foreign: Any, evaluate: Any, images: np.ndarray, tmp_path: Path
) -> None:
    g = foreign()
    original = g.model(g.flat(g.pooled(g.stem())))
    path = tmp_path / "network.onnx"
    onnx.save_model(
        original,
        str(path),
        save_as_external_data=True,
        location="network.data",
        size_threshold=0,
        convert_attribute=True,
    )
    assert (tmp_path / "network.data").stat().st_size > 0
    (tmp_path / "out").mkdir()
    Incoming(path, IncomingOptions(), 1).write(tmp_path / "out", images)
    model = onnx.load(str(tmp_path / "out" / "model.onnx"), load_external_data=False)
    g = foreign()
    want = evaluate(g.model(g.flat(g.pooled(g.stem()))), images, 32)
    assert_allclose(evaluate(model, images, 32), want, atol=1e-5)


def test_functions_inside_the_file_are_written_out(
    foreign: Any, prepared: Any, evaluate: Any, images: np.ndarray
) -> None:
    """As the newer PyTorch exporter may leave them."""
    g = foreign()
    x = g.pooled(g.stem())
    g.nodes.append(helper.make_node("Swish", [x], ["y"], "swish", domain="pkg.torch"))
    g.constant(1.0)  # makes the next name another
    original = g.model(g.flat("y"))
    original.functions.append(
        helper.make_function(
            "pkg.torch",
            "Swish",
            ["a"],
            ["c"],
            [
                helper.make_node("Sigmoid", ["a"], ["b"]),
                helper.make_node("Mul", ["a", "b"], ["c"]),
            ],
            [helper.make_opsetid("", 17)],
        )
    )
    original.opset_import.append(helper.make_opsetid("pkg.torch", 1))
    model = prepared(original)
    assert kinds(model)["Sigmoid"] == kinds(model)["Mul"] == 1
    assert not model.functions
    assert_allclose(evaluate(model, images, 32), evaluate(original, images, 32), atol=1e-5)


def test_what_was_done_is_recorded_and_said(
    foreign: Any,
    save: Saver,
    images: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    g = foreign(opset=12, batch=2)
    path = save(g.model(g.flat(g.pooled(g.norm(g.conv(g.source, 3, 6), 6)))), "Über netz.v2.onnx")
    incoming = Incoming(path, IncomingOptions(), 1)
    written = incoming.write(tmp_path, images)
    source = written.provenance["source"]
    assert incoming.name == "ber-netz.v2"
    assert (source["opset"], source["ir_version"], source["batch"]) == (12, 8, 2)
    assert (source["producer"], source["input"]) == ("pytorch", "input.1")
    said = capsys.readouterr().err
    for line in ("operator set 12 upgraded to 17", "1 batch norms", "batch 2 made dynamic"):
        assert line in said
        assert any(line in step for step in source["steps"])
    assert "assumed is imagenet: RGB crops of 8x4, bilinear" in said


def test_a_step_that_changes_the_embeddings_is_named(
    foreign: Any, save: Saver, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgereid.export.incoming import prepare

    honest = prepare.fold_affine

    def wrong(model: Any) -> int:
        tensor = model.graph.initializer[0]
        value = numpy_helper.to_array(tensor) * np.float32([1, -1, 2, 0, 1, 3]).reshape(6, 1, 1, 1)
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), tensor.name))
        return honest(model)

    monkeypatch.setattr(prepare, "fold_affine", wrong)
    g = foreign(opset=12)
    incoming = Incoming(save(g.model(g.flat(g.pooled(g.stem())))), IncomingOptions(), 1)
    with pytest.raises(InputError, match="folding batch norm changes its embeddings"):
        incoming.write(tmp_path, images)
    assert not (tmp_path / "model.onnx").exists()
