"""Counting from ONNX graphs. The oracle: with ones everywhere and no padding, each number that a
product makes is the count of what it summed, so the numbers' sum is the count of MACs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.bench.roofline.network import count, read_network
from edgereid.errors import InputError

pytest.importorskip("onnx")


def single(op: str, data: tuple[int, ...], weight: tuple[int, ...], **attributes: Any) -> Any:
    """A graph of one operator."""
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w"], ["y"], name="node", **attributes)],
        "single",
        [helper.make_tensor_value_info("x", 1, data)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.ones(weight, np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sum_of_ones(model: Any, data: tuple[int, ...]) -> float:
    from onnx.reference import ReferenceEvaluator

    (out,) = ReferenceEvaluator(model).run(None, {"x": np.ones(data, np.float32)})
    return float(out.astype(np.float64).sum())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3),
    st.integers(1, 3), st.integers(1, 2), st.integers(4, 7),
)  # fmt: skip
def test_convolutions_count_every_product_they_sum(
    batch: int, groups: int, into: int, out: int, kernel: int, stride: int, side: int
) -> None:
    data, weight = (batch, groups * into, side, side + 1), (groups * out, into, kernel, kernel)
    model = single("Conv", data, weight, group=groups, strides=[stride, stride])
    assert count(model, batch).macs == sum_of_ones(model, data)


@pytest.mark.parametrize(
    ("op", "data", "weight", "attributes"),
    [
        ("ConvTranspose", (2, 4, 3, 5), (4, 3, 2, 2), {"strides": [2, 2]}),
        ("ConvTranspose", (1, 4, 3, 3), (4, 2, 3, 3), {}),
        ("MatMul", (2, 3, 5, 7), (7, 11), {}),
        ("Gemm", (5, 7), (7, 3), {}),
        ("Gemm", (7, 5), (3, 7), {"transA": 1, "transB": 1}),
        ("Conv", (2, 3, 9), (4, 3, 3), {"dilations": [2]}),
    ],
)
def test_other_products_too(
    op: str, data: tuple[int, ...], weight: tuple[int, ...], attributes: Any
) -> None:
    model = single(op, data, weight, **attributes)
    assert count(model, 1).macs == sum_of_ones(model, data)


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("batch", [1, 5])
def test_the_float_network_and_its_quantised_form_count_the_same(
    small: Any, small_macs: int, int8: bool, batch: int
) -> None:
    network = count(small(int8=int8), batch)
    assert network.macs == batch * small_macs
    assert network.weights == 8 * 27 + 8 * 16
    assert [n.name for n in network.nodes] == [
        "block/conv", "block/relu", "pool", "flatten", "head",
    ]  # fmt: skip
    assert network.uncounted == ()
    assert network.nodes[0].inputs == ("images",)


def test_numbers_moved_and_at_hand_are_those_of_the_shapes(small: Any) -> None:
    network = count(small(), 2)
    image, maps, vector = 2 * 3 * 32, 2 * 8 * 32, 2 * 8
    weights = 8 * 27 + 8 * 16
    # Conv reads images and writes maps, ReLU maps to maps, pool maps to a vector; Flatten nothing.
    moved = image + maps + 2 * maps + maps + vector + vector + 2 * 16
    assert network.moved == moved + weights
    assert network.working_set == weights + 2 * maps


def test_quantisers_are_known_by_the_node_they_belong_to(small: Any) -> None:
    model = small(int8=True)
    assert count(model, 1).alias["c"] == "block/conv"
    assert "kernel.dq" not in count(model, 1).alias  # it stands for weights, which are no node


def test_a_nameless_node_is_called_by_its_output(small: Any) -> None:
    assert [n.name for n in count(small(named=False), 1).nodes] == ["c", "r", "p", "v", "features"]


def test_what_has_no_known_shape_is_named_not_counted_as_nothing() -> None:
    from onnx import helper

    nodes = [
        helper.make_node("NonZero", ["x"], ["i"], name="positions"),
        helper.make_node("Cast", ["i"], ["f"], to=1),
        helper.make_node("MatMul", ["f", "f"], ["y"], name="product"),
    ]
    graph = helper.make_graph(
        nodes,
        "unknown",
        [helper.make_tensor_value_info("x", 1, [2, 2])],
        [helper.make_tensor_value_info("y", 1, None)],
    )
    network = count(helper.make_model(graph), 1)
    assert network.uncounted == ("product",)
    assert network.macs == 0


def test_the_model_is_left_as_it_was(small: Any) -> None:
    model = small()
    before = model.SerializeToString()
    count(model, 3)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", b"\x08"])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_network(path, 1)
    with pytest.raises(InputError):
        read_network(tmp_path / "missing.onnx", 1)


def test_the_probes_do_what_their_names_say_float_or_in_8_bits() -> None:
    from edgereid.bench.roofline.probes import probe

    convolutions = 1024 * 27 * 256 + 2 * 1024 * 9 * 256**2
    assert count(probe("3x3 convolutions"), 1).macs == convolutions
    assert count(probe("3x3 convolutions", int8=True), 1).macs == convolutions
    products = 1024 * 3 * 1024 + 1024**3
    assert count(probe("matrix products"), 1).macs == products
    assert count(probe("matrix products", int8=True), 1).macs == products


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dslnet", "osnet_x0_25", "robust_reid_1x"])
def test_the_graph_of_an_exported_network_counts_as_profile_counts_the_network(
    tmp_path: Path, name: str
) -> None:
    """An independent count: fvcore's hooks on PyTorch operators."""
    pytest.importorskip("torch")
    from edgereid.export.torch_onnx import export_onnx
    from edgereid.models import registry
    from edgereid.profile import profile

    network = registry.build(name, num_ids=None).eval()
    entry = registry.entry(name)
    export_onnx(network, (entry.input.height, entry.input.width), tmp_path / "model.onnx")
    assert read_network(tmp_path / "model.onnx", 1).macs == profile(name).macs
