"""The typed file as a file: types, names, casts, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from edgereid.errors import InputError  # noqa: E402
from edgereid.export.typed.cast import typed_fp16  # noqa: E402
from edgereid.export.typed.rules import RULES, float32_layers  # noqa: E402

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def images(shape: tuple[int, ...] = (3, 8, 6, 4)) -> np.ndarray:
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def types(model: Any) -> dict[str, int]:
    """Type of every constant and every tensor, by strict inference."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    found = {i.name: i.data_type for i in graph.initializer}
    values = (*graph.input, *graph.value_info, *graph.output)
    return found | {v.name: v.type.tensor_type.elem_type for v in values}


def casts(model: Any) -> list[Any]:
    return [n for n in model.graph.node if n.op_type == "Cast"]


def chain(s: Any) -> Any:
    """Convolution, softmax, a sum with it, a linear head."""
    x = s.op("Relu", s.conv("images"))
    gate = s.op("Softmax", s.op("GlobalAveragePool", x), axis=1)
    flat = s.op("Flatten", s.op("GlobalAveragePool", s.op("Mul", x, gate)))
    weight = s.const(np.eye(8, dtype=np.float32)[:5] * 3, "fc.weight")
    return s.model(s.op("Gemm", flat, weight, s.const(np.zeros(5, np.float32)), transB=1))


def test_weights_and_arithmetic_are_fp16_and_the_outside_fp32(sketch: Any, run: Any) -> None:
    model = chain(sketch())
    typed, report = typed_fp16(model)
    onnx.checker.check_model(typed, full_check=True)
    kinds = types(typed)
    assert kinds["images"] == kinds[model.graph.output[0].name] == FLOAT
    assert kinds["fc.weight"] == HALF, "a constant keeps its name"
    assert [n.op_type for n in typed.graph.node if kinds[n.output[0]] == FLOAT] == [
        "Cast", "Softmax", "Cast",
    ]  # fmt: skip
    assert (report.opset, report.half, report.single, report.casts) == (19, 7, 1, 4)
    assert set(report.float32.values()) == {"its sum of exponentials loses digits"}
    assert report.to_json()["float32"] == dict(report.float32)
    np.testing.assert_allclose(run(typed, images()), run(model, images()), atol=2e-3)


def test_the_nodes_keep_their_names_and_order_and_the_model_given_stays(sketch: Any) -> None:
    model = chain(sketch())
    before = model.SerializeToString(deterministic=True)
    first, _ = typed_fp16(model)
    again, _ = typed_fp16(copy.deepcopy(model))
    assert model.SerializeToString(deterministic=True) == before
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(
        deterministic=True
    )
    named = [n.name for n in first.graph.node if n.op_type != "Cast"]
    assert named == [n.name for n in model.graph.node]


def test_inputs_and_outputs_are_fp16_by_choice(sketch: Any, run: Any) -> None:
    model = chain(sketch())
    typed, report = typed_fp16(model, keep_io=False)
    kinds = types(typed)
    assert kinds["images"] == kinds[model.graph.output[0].name] == HALF
    assert report.casts == 2, "around the softmax"
    got = run(typed, images().astype(np.float16))
    np.testing.assert_allclose(got, run(model, images()), atol=3e-3)


def test_what_stands_between_fp32_and_fp32_is_not_cast_down_and_up(sketch: Any) -> None:
    s = sketch()
    norm = s.op("ReduceL2", s.conv("images"), axes=[1], keepdims=1)
    moved = s.op("Relu", s.op("Transpose", s.op("Sqrt", norm), perm=[0, 2, 3, 1]))
    typed, report = typed_fp16(s.model(s.op("Softmax", moved, axis=1)))
    assert report.casts == 2, "the image, and the convolution's result"
    assert list(report.float32.values()).count("float32 comes in and float32 is wanted") == 2
    assert types(typed)[moved] == FLOAT


def test_one_tensor_is_cast_once_for_all_its_readers(sketch: Any) -> None:
    s = sketch()
    x = s.conv("images")
    three = [s.op("Softmax", x, axis=1) for _ in range(3)]
    out = s.conv(s.op("Sum", *three))
    typed, report = typed_fp16(s.model(out))
    assert report.casts == len(casts(typed)) == 4, "in, up, the sum of three down, out"


def test_a_result_that_is_read_inside_as_well_is_cast_once(sketch: Any, run: Any) -> None:
    s = sketch()
    x = s.conv("images")
    model = s.model(x, s.op("Softmax", x, axis=1))
    typed, report = typed_fp16(model)
    assert [o.name for o in typed.graph.output] == [o.name for o in model.graph.output]
    assert report.casts == 2
    np.testing.assert_allclose(run(typed, images()), run(model, images()), atol=3e-3)


def test_shapes_are_read_without_a_cast(sketch: Any, run: Any) -> None:
    s = sketch()
    x = s.conv("images")
    shape = s.op("Shape", s.pair(x, 0.05))
    model = s.model(s.op("Reshape", s.conv(x), shape))
    typed, report = typed_fp16(model)
    assert report.casts == 2
    np.testing.assert_allclose(run(typed, images()), run(model, images()), atol=3e-2)


def test_a_resize_keeps_its_scales_in_fp32_as_onnx_has_it(sketch: Any, run: Any) -> None:
    s = sketch()
    scales = s.const(np.array([1, 1, 2, 2], np.float32))
    model = s.model(s.op("Resize", s.conv("images"), "", scales, mode="linear"))
    typed, report = typed_fp16(model)
    assert (types(typed)[scales], report.single) == (FLOAT, 0)
    np.testing.assert_allclose(run(typed, images()), run(model, images()), atol=3e-3)


def test_quantizers_are_typed_as_what_surrounds_them(sketch: Any, run: Any) -> None:
    s = sketch()
    levels = np.random.default_rng(0).integers(-127, 128, (8, 8, 1, 1)).astype(np.int8)
    layer = s.op("Conv", s.pair("images", 0.03), s.weight(levels, np.full(8, 0.01)))
    model = s.model(s.op("Add", s.op("Relu", layer), s.pair(s.conv("images"), 0.1)))
    typed, report = typed_fp16(model)
    kinds = types(typed)
    for node in typed.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert kinds[node.input[1]] == HALF
            assert kinds[node.input[2]] == onnx.TensorProto.INT8
    assert (report.single, report.casts, report.raised) == (0, 2, 0)
    np.testing.assert_allclose(run(typed, images()), run(model, images()), atol=0.11)


def test_a_crop_by_grid_computes_its_places_in_fp32(sketch: Any, run: Any) -> None:
    s = sketch(shape=("batch", 4, 160, 64))
    torch_free = s.op("Conv", "images", s.const(np.eye(4, dtype=np.float32)[..., None, None]))
    mean = s.op("Flatten", s.op("GlobalAveragePool", torch_free))
    theta = s.op("Tanh", s.op("Gemm", mean, s.const(np.ones((4, 2), np.float32))))
    base = s.const(np.random.default_rng(1).random((1, 30, 20, 2)).astype(np.float32) - 0.5)
    shift = s.op("Mul", s.op("Reshape", theta, s.const(np.array([-1, 1, 1, 2]))), s.const(0.3))
    out = s.op("GridSample", torch_free, s.op("Add", base, shift), align_corners=1)
    model = s.model(out)
    typed, report = typed_fp16(model)
    assert {n.rstrip("0123456789") for n in report.float32} == {
        "Tanh", "Reshape", "Mul", "Add", "GridSample",
    }  # fmt: skip
    assert report.casts == 3, "the input, the map and theta"
    x = images((2, 4, 160, 64))
    np.testing.assert_allclose(run(typed, x), run(model, x), atol=1e-2)


@pytest.mark.parametrize("counted", [False, True])
def test_interpolation_by_products_computes_its_places_in_fp32(counted: bool, sketch: Any) -> None:
    """max(0, 1 - |p - j|), j a constant or counted: at pixel 100 FP16 has steps of 1/16."""
    s = sketch(shape=("batch", 8, 6, 4))
    if counted:
        numbers = s.op("Range", *(s.const(np.int64(i)) for i in (0, 128, 1)))
        j = s.op("Cast", s.op("Unsqueeze", numbers, s.const(np.array([0]))), to=FLOAT)
    else:
        j = s.const(np.arange(128, dtype=np.float32))
    place = s.op("Mul", s.op("Tanh", s.op("GlobalAveragePool", s.conv("images"))), s.const(100.0))
    away = s.op("Abs", s.op("Sub", place, j))
    weight = s.op("Clip", s.op("Sub", s.const(1.0), away), s.const(0.0))
    _, report = typed_fp16(s.model(s.op("MatMul", weight, s.const(np.eye(128, dtype="f4")))))
    assert {n.rstrip("0123456789") for n in report.float32} - {"Cast"} == {
        "Tanh", "Mul", "Sub", "Abs", "Clip",
    }  # fmt: skip
    assert report.casts == 4, "the input, the mean, the weights of interpolation, the result"


def test_normalisation_in_the_graph_stays_fp32(sketch: Any, run_half: Any, run: Any) -> None:
    s = sketch(shape=("batch", 6, 4, 8), dtype=onnx.TensorProto.UINT8)
    x = s.op("Transpose", s.op("Cast", "images", to=FLOAT), perm=[0, 3, 1, 2])
    x = s.op("Sub", s.op("Mul", x, s.const(1 / 58.4)), s.const(2.1))
    model = s.model(s.conv(x))
    typed, report = typed_fp16(model)
    assert "the input's normalisation takes the difference of large numbers" in (
        report.float32.values()
    )
    assert report.casts == 2
    assert [i.type.tensor_type.elem_type for i in typed.graph.input] == [onnx.TensorProto.UINT8]
    x = np.random.default_rng(0).integers(0, 256, (2, 6, 4, 8)).astype(np.uint8)
    np.testing.assert_allclose(run_half(typed, x), run(model, x), atol=6e-3)


def _sizes(s: Any) -> str:
    width = s.op("Cast", s.op("Gather", s.op("Shape", "images"), s.const(np.int64(2))), to=FLOAT)
    return str(s.op("Mul", s.conv("images"), s.op("Div", width, s.const(3.0))))


def _integers(s: Any) -> str:
    place = s.op("Cast", s.op("Relu", s.conv("images")), to=onnx.TensorProto.INT64)
    return str(s.op("Cast", place, to=FLOAT))


#: Rule -> a graph that it keeps in FP32 somewhere. The other rules have tests of their own.
BY_RULE: dict[str, Callable[[Any], str]] = {
    "sizes": _sizes,
    "integers": _integers,
    "normalised": lambda s: s.op("LpNormalization", s.conv("images"), axis=1),
}


@pytest.mark.parametrize("name", BY_RULE)
def test_a_rule_keeps_its_kind_and_the_weak_builder_gets_the_same_names(
    name: str, sketch: Any, run: Any
) -> None:
    s = sketch()
    model = s.model(BY_RULE[name](s))
    why = next(rule.why for rule in RULES if rule.name == name)
    layers = float32_layers(model)
    assert why in layers.values()
    typed, report = typed_fp16(model)
    assert layers.items() <= dict(report.float32).items()
    np.testing.assert_allclose(run(typed, images()), run(model, images()), atol=2e-2)


def test_every_rule_has_a_name_and_a_reason_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.why[0].islower() or rule.why.startswith("FP16") for rule in RULES)


def _typed_already(s: Any) -> Any:
    return s.model(s.op("Cast", s.conv("images"), to=HALF))


def _foreign(s: Any) -> Any:
    model = s.model(s.conv("images"))
    last = model.graph.output[0].name
    model.opset_import.append(onnx.helper.make_opsetid("example", 1))
    model.graph.node.append(onnx.helper.make_node("Mine", [last], ["y"], "m", domain="example"))
    return model


def _branch(s: Any) -> Any:
    inner = onnx.helper.make_graph([], "inner", [], [])
    s.op("If", s.const(np.bool_(True)), then_branch=inner, else_branch=inner)
    return s.model(s.conv("images"))


def _elsewhere(s: Any) -> Any:
    model = s.model(s.conv("images"))
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_typed_already, "is float16 already: give the float32 model"),
        (_foreign, "nothing tells the type of the tensor 'y'"),
        (_branch, r"the node 'If0' \(If\) holds a graph of its own"),
        (_elsewhere, "some weights lie in other files"),
    ],
)
def test_what_cannot_be_typed_is_refused_in_one_line(
    make: Callable[[Any], Any], message: str, sketch: Any
) -> None:
    with pytest.raises(InputError, match=message) as error:
        typed_fp16(make(sketch()))
    assert "\n" not in str(error.value)
