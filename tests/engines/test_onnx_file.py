"""The scan of an ONNX file, against the onnx package and against damage."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgereid.engines.onnx_file import OnnxFile, read_onnx
from edgereid.errors import InputError

onnx = pytest.importorskip("onnx")


def test_it_finds_the_operators_and_external_files_that_onnx_finds(
    sample: Any, tmp_path: Path
) -> None:
    for name, options in {"f32": {}, "int8": {"int8": True}, "ext": {"external": "k.data"}}.items():
        path = sample.write_onnx(tmp_path / f"{name}.onnx", **options)
        nodes = onnx.load(path, load_external_data=False).graph.node
        found = read_onnx(path)
        assert found.operators == {node.op_type for node in nodes}
        assert found.external == ({"k.data"} if name == "ext" else set())
        assert found.is_int8 == (name == "int8")


def test_weights_that_are_only_stored_in_8_bits_do_not_make_int8_arithmetic() -> None:
    assert not OnnxFile(frozenset({"DequantizeLinear", "Conv"}), frozenset()).is_int8
    assert OnnxFile(frozenset({"QLinearConv"}), frozenset()).is_int8


def external(location: str) -> Any:
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_external_tensors_are_found_wherever_onnx_allows_them(tmp_path: Path) -> None:
    helper = onnx.helper
    constant = helper.make_node("Constant", [], ["c"], value=external("constant.data"))
    inner = helper.make_graph([constant], "inner", [], [], [external("inner.data")])
    branch = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    listed = helper.make_node("Custom", [], ["z"])
    listed.attribute.append(helper.make_attribute("several", [external("listed.data")]))
    sparse = onnx.SparseTensorProto(
        values=external("values.data"), indices=external("indices.data"), dims=[1]
    )
    graph = helper.make_graph([branch, listed], "outer", [], [], [external("outer.data")])
    graph.sparse_initializer.append(sparse)
    model = helper.make_model(graph)
    model.metadata_props.add(key="location", value="Munich")  # no file: only a word of the user's
    function = model.functions.add(name="f")
    function.node.append(helper.make_node("Constant", [], ["d"], value=external("function.data")))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    found = read_onnx(path)
    expected = "constant inner listed values indices outer function"
    assert found.external == {f"{name}.data" for name in expected.split()}
    assert found.operators == {"If", "Custom", "Constant"}


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    helper = onnx.helper
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    for _ in range(30):
        graph = helper.make_graph([helper.make_node("If", [], [], then_branch=graph)], "g", [], [])
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(InputError, match="nested too deeply"):
        read_onnx(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes_give_an_input_error_or_a_result_and_nothing_else(
    sample: Any, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "net.onnx"
    whole = sample.onnx(int8=True).SerializeToString()
    cut = data.draw(st.integers(0, len(whole)))
    damaged = bytearray(whole[:cut])
    for position in data.draw(st.lists(st.integers(0, 300), max_size=4)):
        if position < len(damaged):
            damaged[position] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(damaged))
    with contextlib.suppress(InputError):
        assert read_onnx(path).operators
