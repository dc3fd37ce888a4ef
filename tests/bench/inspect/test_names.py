"""What the names of layers say, on names that TensorRT gave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.inspect.names import Named, is_copy, named, without_marks


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Conv_0", ("Conv_0",)),
        (
            "conv1.weight + QuantizeLinear_7 + Conv_9",
            ("conv1.weight", "QuantizeLinear_7", "Conv_9"),
        ),
        ("/a/Conv + PWN(/a/relu/LeakyRelu)", ("/a/Conv", "/a/relu/LeakyRelu")),
        ("PWN(PWN(relu_1), add_1)", ("relu_1", "add_1")),
        ("PWN(PWN(/s/Sigmoid), PWN(/s/Mul))", ("/s/Sigmoid", "/s/Mul")),
        ("/l/conv_a/Conv || /l/conv_b/Conv", ("/l/conv_a/Conv", "/l/conv_b/Conv")),
        ("node_conv2d_1_myl0_4", ("node_conv2d_1",)),
        ("/n/_input_quantizer/QuantizeLinear_clone_1", ("/n/_input_quantizer/QuantizeLinear",)),
        ("/a/Conv [profile 1]", ("/a/Conv",)),
        ("{ForeignNode[/only/Conv]}", ("/only/Conv",)),
        ("a, b", ("a, b",)),  # a comma joins within PWN only
        ("broken(", ("broken(",)),
    ],
)
def test_the_parts_of_a_name_are_what_was_fused(name: str, wanted: tuple[str, ...]) -> None:
    assert named(name) == Named(wanted)


def test_a_region_names_its_ends_only() -> None:
    found = named("{ForeignNode[/head/Constant_2_output_0.../Unsqueeze_2]}")
    assert found == Named((), (("/head/Constant_2_output_0", "/Unsqueeze_2"),))


@pytest.mark.parametrize(
    ("name", "helpers"),
    [
        ("[trainStation1]", 1),
        ("(Unnamed Layer* 714) [Constant]", 1),
        ("__mye1085_myl0_0", 1),
        ("copied_squeeze_after_(Unnamed Layer* 361) [ElementWise]", 1),
        (
            "PWN((Unnamed Layer* 112) [ElementWise], PWN(PWN((Unnamed Layer* 109) [Constant] + "
            "(Unnamed Layer* 110) [ElementWise], (Unnamed Layer* 111) [Unary]), "
            "(Unnamed Layer* 113) [ElementWise]))",
            5,
        ),
    ],
)
def test_layers_of_tensorrts_own_stand_for_no_node(name: str, helpers: int) -> None:
    assert named(name) == Named((), (), helpers)


def test_own_layers_beside_nodes_are_counted_apart() -> None:
    found = named("fc.weight + Gemm_311 + fc.bias + (Unnamed Layer* 360) [Shuffle]")
    assert found == Named(("fc.weight", "Gemm_311", "fc.bias"), (), 1)


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ("[ONNX Layer: node_conv2d]\x1e[ONNX Layer: node_relu]", ("node_conv2d", "node_relu")),
        ("[ONNX Layer: a]\x1f[ONNX Layer: b]\x1e[ONNX Layer: a]", ("a", "b")),
        ("[ONNX Layer: a][ONNX Layer: b] [ONNX Layer: c]", ("a", "b", "c")),
        ("[ONNX Layer: odd[0] name]", ("odd[0] name",)),
    ],
)
def test_metadata_goes_before_the_name(metadata: str, wanted: tuple[str, ...]) -> None:
    assert named("__myl_MulSum_myl4_1", metadata) == Named(wanted, listed=True)


def test_other_metadata_leaves_the_name() -> None:
    assert named("Conv_0", "some note") == Named(("Conv_0",))


@pytest.mark.parametrize(
    "name",
    [
        "Reformatting CopyNode for Input Tensor 0 to conv1.weight + /conv1/Conv",
        "Reformatting CopyNode for Output Tensor 1 to {ForeignNode[a...b]}",
        "/neck/Concat_/neck/Resize_output_0_clone_0 copy",
        "__myl_Move_myl0_1",
        "__myl_CastReshCast_myl4_4",
        "__myl_Tran_myl0_5",
    ],
)
def test_a_copy_is_known_by_its_name_and_stands_for_no_node(name: str) -> None:
    assert is_copy(name)
    assert named(name) == Named(())


@pytest.mark.parametrize("name", ["__myl_MulSum_myl4_1", "__myl_MoveConc_myl1_0", "copy", "Cast_3"])
def test_arithmetic_is_no_copy(name: str) -> None:
    assert not is_copy(name)


def test_marks_that_differ_from_build_to_build_are_taken_off() -> None:
    assert without_marks("node_linear_1_2_myl0_8") == "node_linear_1_2"
    assert without_marks("__mye1085_myl0_0") == "__mye1085"
    assert without_marks("/a/Conv_1") == "/a/Conv_1"


plain = st.from_regex(r"/[a-z]{1,5}/[A-Z][a-z]{1,5}", fullmatch=True)


@given(st.lists(plain, min_size=1, max_size=6, unique=True), st.sampled_from([" + ", " || "]))
def test_joining_is_undone(names: list[str], separator: str) -> None:
    assert named(separator.join(names)).names == tuple(names)


@given(st.lists(plain, min_size=1, max_size=6, unique=True))
def test_nesting_is_undone(names: list[str]) -> None:
    text = names[-1]
    for name in reversed(names[:-1]):
        text = f"PWN({name}, {text})" if text.startswith("PWN") else f"PWN({name}, PWN({text}))"
    assert set(named(text).names) == set(names)


@given(st.text(alphabet="PWN(), +|{}[].aF_0", max_size=80))
def test_no_name_is_too_strange(text: str) -> None:
    named(text)


def test_a_name_nested_beyond_reason_is_left_whole() -> None:
    assert named("PWN(" * 2000 + "a" + ")" * 2000).names
