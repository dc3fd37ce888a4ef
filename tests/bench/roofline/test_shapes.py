"""Shapes that are computed from shapes, as exporters of channel splits write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgereid.bench.roofline.network import count
from edgereid.bench.roofline.shapes import MAX_NUMBERS, known_shapes
from edgereid.errors import InputError

pytest.importorskip("onnx")


def graph(nodes: list[tuple[str, list[str], list[str], Any]], tensors: dict[str, Any]) -> Any:
    from onnx import helper, numpy_helper

    made = [helper.make_node(op, i, o, name=o[0], **more) for op, i, o, more in nodes]
    body = helper.make_graph(
        made,
        "shapes",
        [helper.make_tensor_value_info("x", 1, ["N", 6, 8, 8])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in tensors.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def half_the_channels() -> Any:
    """Convolve x[:, : x.shape[1] // 2], the half worked out in the graph."""
    return graph(
        [
            ("Shape", ["x"], ["s"], {"start": 1, "end": 2}),
            ("Div", ["s", "two"], ["half"], {}),
            ("Slice", ["x", "zero", "half", "one"], ["part"], {}),
            ("Conv", ["part", "w"], ["y"], {}),
        ],
        {
            "two": np.array([2]), "zero": np.array([0]), "one": np.array([1]),
            "w": np.ones((4, 3, 3, 3), np.float32),
        },
    )  # fmt: skip


def test_a_slice_up_to_half_the_channels_has_a_shape_and_its_reader_is_counted() -> None:
    model = half_the_channels()
    shapes = known_shapes(model, 5)
    assert (shapes["part"], shapes["half"]) == ((5, 3, 8, 8), (1,))
    network = count(model, 5)
    assert network.uncounted == ()
    assert network.macs == 5 * 4 * 6 * 6 * 27


def test_chains_of_such_slices_are_followed_to_their_end() -> None:
    halve: list[tuple[str, list[str], list[str], Any]] = []
    last = "x"
    for i in range(3):
        halve += [
            ("Shape", [last], [f"s{i}"], {"start": 2, "end": 3}),
            ("Div", [f"s{i}", "two"], [f"h{i}"], {}),
            ("Slice", [last, "zero", f"h{i}", "axis"], [f"p{i}"], {}),
        ]
        last = f"p{i}"
    model = graph(
        [*halve, ("Relu", [last], ["y"], {})],
        {"two": np.array([2]), "zero": np.array([0]), "axis": np.array([2])},
    )
    assert known_shapes(model, 1)["y"] == (1, 6, 1, 8)


def test_the_batch_of_a_file_that_fixes_it_stays(small: Any) -> None:
    model = small()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    assert known_shapes(model, 1)["c"] == (4, 8, 8, 4)


def test_a_file_cannot_have_us_compute_much() -> None:
    tensors = {"big": np.array([MAX_NUMBERS, 1024])}
    model = graph([("ConstantOfShape", ["big"], ["y"], {})], tensors)
    before = model.SerializeToString()
    known_shapes(model, 1)
    assert model.SerializeToString() == before


def test_arithmetic_that_fails_is_an_input_error() -> None:
    tensors = {"a": np.array([1, 2]), "b": np.array([1, 2, 3])}
    with pytest.raises(InputError):
        known_shapes(graph([("Add", ["a", "b"], ["y"], {})], tensors), 1)
