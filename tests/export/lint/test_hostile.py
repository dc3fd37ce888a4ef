"""Files from anywhere: random graphs, damaged bytes, absurd declarations."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgereid.errors import EdgeReidError, InputError
from edgereid.export.lint.load import load_model
from edgereid.export.lint.report import lint, text
from edgereid.export.lint.targets import TARGETS, choose

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

OPERATORS = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sum", "QuantizeLinear", "DequantizeLinear",
    "Transpose", "Relu", "Clip", "Pow", "ReduceL2", "Concat", "Mul", "Div", "MaxPool", "Constant",
    "GridSample", "Identity", "Reshape", "", "Nonsense",
)  # fmt: skip
TENSORS = [f"t{i}" for i in range(8)]
ATTRIBUTES = ("axis", "group", "transB", "perm", "value", "value_ints", "dilations", "block_size")


@st.composite
def attributes(draw: Any) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(ATTRIBUTES), unique=True, max_size=3))
    values = {
        "perm": st.lists(st.integers(-1, 5), min_size=1, max_size=4),
        "value_ints": st.lists(st.integers(-5, 5), min_size=1, max_size=4),
        "dilations": st.lists(st.integers(-1, 3), min_size=1, max_size=3),
        "value": st.just(numpy_helper.from_array(np.ones(3, np.float32))),
    }
    return {n: draw(values.get(n, st.integers(-9, 9))) for n in names}


@st.composite
def constants(draw: Any, name: str) -> Any:
    dtype = draw(st.sampled_from((np.float32, np.float16, np.int8, np.uint8, np.int64, np.float64)))
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    fill = draw(st.sampled_from((0, 1, -128, 127, 1e-30, float("nan"), float("inf"), 1e30)))
    with np.errstate(all="ignore"):
        tensor = numpy_helper.from_array(np.full(shape, fill).astype(dtype), name)
    if draw(st.integers(0, 19)) == 0:
        tensor.data_location = TensorProto.EXTERNAL
    return tensor


@st.composite
def models(draw: Any) -> Any:
    """Graphs of known operators, wired at random: cycles, missing inputs, wrong types and all."""
    known = st.sampled_from([*TENSORS, ""])
    nodes = []
    for i in range(draw(st.integers(0, 8))):
        inputs = draw(st.lists(known, max_size=4))
        outputs = draw(st.lists(st.sampled_from(TENSORS), max_size=2))
        kind = draw(st.sampled_from(OPERATORS))
        nodes.append(helper.make_node(kind, inputs, outputs, name=f"n{i}", **draw(attributes())))
    names = draw(st.lists(st.sampled_from(TENSORS), unique=True, max_size=5))
    shape = draw(st.lists(st.one_of(st.integers(-1, 9), st.none(), st.just("n")), max_size=5))
    kind = draw(st.sampled_from((0, 1, 2, 3, 10, 11)))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("t0", kind, draw(st.sampled_from((shape, None))))],
        [helper.make_tensor_value_info(draw(st.sampled_from(TENSORS)), 1, None)],
        [draw(constants(n)) for n in names],
    )
    opset = draw(st.integers(1, 30))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(model=models(), name=st.sampled_from(list(TARGETS)))
def test_a_random_graph_is_checked_or_refused_in_one_line(model: Any, name: str) -> None:
    message = ""
    try:
        report = lint(model, choose(name))
    except EdgeReidError as error:
        message = str(error)
    else:
        assert text(report).startswith("the model for ")
        report.to_json()
    assert "\n" not in message


@pytest.fixture(scope="module")
def good(small: Any) -> bytes:
    return bytes(small.SerializeToString())


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes_are_checked_or_refused(good: bytes, tmp_path: Path, data: Any) -> None:
    raw = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from((len(raw), len(raw) // 2, 7)))
    path = tmp_path / "bad.onnx"
    path.write_bytes(bytes(raw[:cut]))
    message = ""
    try:
        text(lint(load_model(path), choose("tensorrt")))
    except InputError as error:
        message = str(error)
    assert "\n" not in message


def with_constant(tensor: Any) -> Any:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="c")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 8, 4, 4])],
        [helper.make_tensor_value_info("y", 1, None)],
        [tensor],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_a_constant_that_declares_more_than_it_holds_is_refused_by_name() -> None:
    tensor = TensorProto(name="w", data_type=1, dims=[2**40, 2**20], raw_data=b"1234")
    with pytest.raises(InputError, match="the constant 'w' of the ONNX file is damaged"):
        lint(with_constant(tensor), choose("tensorrt"))


def test_a_name_with_control_characters_is_printed_harmlessly() -> None:
    model = with_constant(numpy_helper.from_array(np.full((8, 8, 1, 1), np.nan, np.float32), "w"))
    model.graph.node[0].name = "a\x1b[31m\nb"
    printed = text(lint(model, choose("tensorrt")))
    assert "a?[31m?b: w: nan among 64 of 64" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize(
    "content",
    [b"", b"not an ONNX file at all", struct.pack("<Q", 2**63), b"\x3a\xff\xff\xff\xff\x0f"],
)
def test_what_is_no_onnx_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.onnx is not an ONNX file"):
        load_model(path)


def test_a_name_that_is_no_text_is_refused(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(good.replace(b"stem.relu", b"stem\xff\xfeelu"))
    with pytest.raises(InputError, match="a name is no UTF-8 text"):
        load_model(path)


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(
    good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgereid.export.lint import load

    path = tmp_path / "x.onnx"
    path.write_bytes(good)
    monkeypatch.setattr(load, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="at most 1,000"):
        load_model(path)
    monkeypatch.setattr(load, "MAX_BYTES", 10**9)
    monkeypatch.setattr(load, "MAX_NODES", 3)
    with pytest.raises(InputError, match="at most 3 are checked"):
        load_model(path)
