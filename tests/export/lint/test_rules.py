"""Each rule: a minimal graph that breaks it, and the mended one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.export.lint.report import Report, lint
from edgereid.export.lint.table import RULES
from edgereid.export.lint.targets import choose

FP16 = 10  # TensorProto.FLOAT16
HALF = np.float16


@dataclass(frozen=True)
class Case:
    """``bad`` and ``good`` take the class Sketch and return a model; ``got`` is in the finding."""

    rule: str
    got: str
    bad: Callable[[Any], Any]
    good: Callable[[Any], Any]
    target: str = "tensorrt"
    version: str | None = None


def conv(new: Any, w: Any = None, pair: Any = None, opset: int = 17, **how: Any) -> Any:
    """Quantized input, quantized weights, ReLU: clean for TensorRT."""
    s = new(opset)
    x = s.pair("images", **(pair or {}))
    return s.model(s.op("Relu", s.conv(x, w(s) if w else "", **how)))


def after(new: Any, build: Callable[[Any, str], str], **how: Any) -> Any:
    """What ``build`` makes of the input."""
    s = new(**how)
    return s.model(build(s, "images"))


def weights(*shape: int, **how: Any) -> Callable[[Any], str]:
    return lambda s: str(s.weight(s.levels(*shape), **how))


def scaled(scale: Any, zero: Any = None) -> Callable[[Any], str]:
    return lambda s: str(s.weight(s.levels(8, 8, 1, 1), scale=np.asarray(scale), zero=zero))


def custom(new: Any, domain: str) -> Any:
    s = new()
    s.opsets.append(("my.ops", 1))
    return s.model(s.op("Relu", "images", **({"domain": domain} if domain else {})))


def gemm(new: Any, axis: int, trans: int) -> Any:
    s = new(shape=("batch", 8))
    w = s.weight(s.levels(8, 8), axis=axis)
    return s.model(s.op("Gemm", s.pair("images"), w, transB=trans))


def matmul_through_transpose(new: Any, axis: int) -> Any:
    s = new(shape=("batch", 8))
    w = s.op("Transpose", s.weight(s.levels(8, 8), axis=axis), perm=[1, 0])
    return s.model(s.op("MatMul", s.pair("images"), w))


def transposed(new: Any, axis: int) -> Any:
    s = new()
    w = s.weight(s.levels(8, 8, 2, 2), axis=axis)
    return s.model(s.op("ConvTranspose", s.pair("images"), w))


def bias(new: Any, dtype: Any, float_bias: bool = False, added: bool = False) -> Any:
    s = new()
    if float_bias:
        b = s.const(np.ones(8, np.float32))
    else:
        given = [s.const(np.ones(8, dtype)), s.const(np.full(8, 0.1, np.float32))]
        b = s.op("DequantizeLinear", *given, s.const(np.zeros(8, dtype)), axis=0)
    if added:
        return s.model(s.op("Add", s.conv(s.pair("images")), b))
    return s.model(s.conv(s.pair("images"), bias=b))


def mixed_pair(new: Any, scale: float, axis: int | None = None, zero: int = 0) -> Any:
    s = new()
    q = s.op("QuantizeLinear", "images", s.const(0.05), s.const(np.int8(0)))
    x = s.op("DequantizeLinear", q, s.const(scale), s.const(np.int8(zero)))
    return s.model(s.conv(x))


def lone(new: Any, whole: bool) -> Any:
    s = new()
    given = [s.const(0.05), s.const(np.int8(0))]
    q = s.op("QuantizeLinear", "images", *given)
    return s.model(s.op("DequantizeLinear", q, *given) if whole else s.op("Relu", q))


def residual(new: Any, pair_identity: bool, pair_branch: bool = False) -> Any:
    s = new()
    x = s.pair("images")
    identity = s.op("Sigmoid", x)
    identity = s.pair(identity) if pair_identity else identity
    branch = s.conv(x)
    branch = s.pair(branch) if pair_branch else branch
    return s.model(s.op("Relu", s.op("Add", branch, identity)))


def two_branches(new: Any, pair_second: bool) -> Any:
    s = new()
    x = s.pair("images")
    second = s.conv(x)
    return s.model(s.op("Add", s.conv(x), s.pair(second) if pair_second else second))


def concat(new: Any, scale: float) -> Any:
    s = new()
    return s.model(s.op("Concat", s.pair("images"), s.pair("images", scale=scale), axis=1))


def chained(new: Any, out_dtype: Any, last: bool = True) -> Any:
    """u8 -> conv -> ReLU -> (pair) -> Sigmoid."""
    s = new()
    y = s.op("Relu", s.conv(s.pair("images", dtype=np.uint8)))
    return s.model(s.op("Sigmoid", s.pair(y, dtype=out_dtype) if last else y))


def product(new: Any, dtype: Any, kind: str = "Gemm", added: bool = False) -> Any:
    """u8 -> Gemm with a bias of this type, or MatMul, and a sum behind it if wanted -> Sigmoid."""
    s = new(shape=("batch", 8))
    b = s.const(np.ones(8, dtype))
    if dtype != np.float32:
        scale = s.const(np.full(8, 0.1, np.float32))
        b = s.op("DequantizeLinear", b, scale, s.const(np.zeros(8, dtype)), axis=0)
    factors = [s.pair("images", dtype=np.uint8), s.weight(s.levels(8, 8), axis=1)]
    y = s.op(kind, *factors, b) if kind == "Gemm" else s.op(kind, *factors)
    return s.model(s.op("Sigmoid", s.op("Add", y, b) if added else y))


def unsigned(new: Any, top: int) -> Any:
    s = new()
    w = np.clip(s.levels(8, 8, 1, 1), -top, top)
    return s.model(s.conv(s.pair("images", dtype=np.uint8), s.weight(w)))


def float8(new: Any) -> Any:
    """Weights in FP8, which TensorRT 10 takes."""
    from onnx import TensorProto, helper

    s = new(19)
    stored = helper.make_tensor("w8", TensorProto.FLOAT8E4M3FN, [8, 8, 1, 1], [1.0] * 64)
    s.constants.append(stored)
    w = s.op("DequantizeLinear", "w8", s.const(0.1))
    return s.model(s.conv(s.pair("images"), w))


def unsigned_weight(s: Any) -> str:
    return str(s.weight(s.levels(8, 8, 1, 1).astype(np.uint8)))


def external(new: Any, outside: bool) -> Any:
    model = conv(new)
    if outside:
        model.graph.initializer[0].data_location = 1
    return model


def norm(s: Any, x: str, low: Any) -> str:
    length = s.op("ReduceL2", x, axes=[1], keepdims=1)
    return str(s.op("Div", x, s.op("Clip", length, s.const(low))))


def qat(new: Any, scale: float) -> Any:
    """Weights stored in float, with a pair of their own."""
    s = new()
    w = s.rng.normal(size=(8, 8, 1, 1)).astype(np.float32)
    return s.model(s.conv(s.pair("images"), s.pair(s.const(w), scale=scale)))


def some(values: Any, n: int = 8, other: float = 0.01) -> Any:
    scale = np.full(n, other, np.float32)
    scale[: len(values)] = values
    return scale


CASES = [
    Case("opset", "operator set 19", lambda n: conv(n, opset=19), conv, version="8.6"),
    Case("opset", "operator set 22", lambda n: conv(n, opset=22), conv, version="10.3"),
    Case("opset", "operator set 6", lambda n: after(n, lambda s, x: s.op("Relu", x), opset=6),
         conv, "onnxruntime"),
    Case("qdq-opset", "per channel in set 12", lambda n: conv(n, opset=12), conv),
    Case("qdq-opset", "float16 scale in set 17",
         lambda n: after(n, lambda s, x: s.pair(x, scale=HALF(0.05)), dtype=FP16),
         lambda n: after(n, lambda s, x: s.pair(x, scale=HALF(0.05)), dtype=FP16, opset=19)),
    Case("operator", "my.ops::Relu", lambda n: custom(n, "my.ops"), lambda n: custom(n, "")),
    Case("operator", "Det", lambda n: after(n, lambda s, x: s.op("Det", x)), conv, "openvino"),
    Case("operator", "Nonsense", lambda n: after(n, lambda s, x: s.op("Nonsense", x)), conv,
         "onnxruntime"),
    Case("operator", "LayerNormalization",
         lambda n: after(n, lambda s, x: s.op("LayerNormalization", x, s.const(1.0))),
         conv, version="8.6"),
    Case("operator-limits", "indices",
         lambda n: after(n, lambda s, x: s.op("MaxPool", x, outputs=2, kernel_shape=[2, 2])),
         lambda n: after(n, lambda s, x: s.op("MaxPool", x, kernel_shape=[2, 2]))),
    Case("operator-limits", "dilations [2, 2]",
         lambda n: after(n, lambda s, x: s.op("MaxPool", x, kernel_shape=[2, 2],
                                              dilations=[2, 2])), conv),
    Case("operator-limits", "5 dimensions",
         lambda n: after(n, lambda s, x: s.op("GridSample", x, x), shape=("b", 1, 4, 4, 3)), conv),
    Case("zero-point", "zero point 3", lambda n: conv(n, pair={"zero": 3}), conv),
    Case("zero-point", "zero point -7", lambda n: conv(n, pair={"zero": -7}),
         lambda n: conv(n, pair={"zero": 7, "dtype": np.uint8}), "openvino"),
    Case("weight-zero-point", "zero point 5 among 8",
         lambda n: conv(n, scaled(some([]), np.array([0, 5] + [0] * 6, np.int8))), conv),
    Case("activation-type", "uint8", lambda n: conv(n, pair={"dtype": np.uint8}), conv),
    Case("activation-type", "without a zero point", lambda n: conv(n, pair={"zero": None}), conv),
    Case("activation-type", "int8", conv, lambda n: conv(n, pair={"dtype": np.uint8}),
         "onnxruntime"),
    Case("weight-type", "float8e4m3fn", float8, conv, version="8.6"),
    Case("weight-type", "uint8", lambda n: conv(n, unsigned_weight), float8),
    Case("weight-axis", "axis 1", lambda n: conv(n, weights(8, 8, 1, 1, axis=1)), conv),
    Case("weight-axis", "axis 0", lambda n: transposed(n, 0), lambda n: transposed(n, 1)),
    Case("weight-axis", "axis 1", lambda n: gemm(n, 1, 1), lambda n: gemm(n, 0, 1)),
    Case("weight-axis", "axis 0", lambda n: gemm(n, 0, 0), lambda n: gemm(n, 1, 0)),
    Case("weight-axis", "axis 1", lambda n: matmul_through_transpose(n, 1),
         lambda n: matmul_through_transpose(n, 0)),
    Case("per-channel-activation", "8 scales",
         lambda n: conv(n, pair={"scale": some([]), "zero": [0] * 8, "axis": 1}), conv),
    Case("constant-parameters", "computed",
         lambda n: after(n, lambda s, x: s.op("QuantizeLinear", x, s.op("ReduceMax", x))), conv),
    Case("scale-shape", "7 scales for axis 0 of size 8",
         lambda n: conv(n, scaled(some([], 7), np.zeros(7, np.int8))), conv),
    Case("scale-shape", "8 scales, 1 zero points",
         lambda n: conv(n, scaled(some([]), np.int8(0))), conv),
    Case("scale-shape", "scales of shape",
         lambda n: conv(n, scaled(np.ones((8, 1), np.float32), np.zeros((8, 1), np.int8))), conv),
    Case("scale-shape", "axis 9 of a tensor of 4",
         lambda n: conv(n, pair={"scale": some([]), "zero": [0] * 8, "axis": 9}), conv),
    Case("scale-value", "0, 1 of 8 scales", lambda n: conv(n, scaled(some([0]))), conv),
    Case("scale-value", "-0.1", lambda n: conv(n, pair={"scale": -0.1}), conv),
    Case("scale-value", "nan", lambda n: conv(n, pair={"scale": float("nan")}), conv),
    Case("scale-value", "inf", lambda n: conv(n, pair={"scale": float("inf")}), conv),
    Case("scale-denormal", "1e-40", lambda n: conv(n, pair={"scale": 1e-40}),
         lambda n: conv(n, pair={"scale": float(np.finfo(np.float32).tiny)})),
    Case("scale-denormal", "1e-05",
         lambda n: after(n, lambda s, x: s.pair(x, scale=HALF(1e-5)), dtype=FP16, opset=19),
         lambda n: after(n, lambda s, x: s.pair(x, scale=HALF(1e-3)), dtype=FP16, opset=19)),
    Case("pair-parameters", "another scale", lambda n: mixed_pair(n, 0.06),
         lambda n: mixed_pair(n, 0.05)),
    Case("pair-parameters", "another zero point", lambda n: mixed_pair(n, 0.05, zero=1),
         lambda n: mixed_pair(n, 0.05)),
    Case("finite-weights", "nan among 1 of 8",
         lambda n: nan_bias(n, float("nan")),
         lambda n: nan_bias(n, 1.0)),
    Case("weight-saturation", "of the weights at 127", lambda n: qat(n, 0.005),
         lambda n: qat(n, 0.03)),
    Case("weight-levels", "at most 3 of 127",
         lambda n: conv(n, lambda s: s.weight(s.levels(8, 8, 1, 1) // 40, axis=None)), conv),
    Case("quantized-bias", "a bias in int32", lambda n: bias(n, np.int32),
         lambda n: bias(n, np.int32, float_bias=True)),
    Case("quantized-bias", "a bias in int8", lambda n: bias(n, np.int8, added=True),
         lambda n: bias(n, np.int32, added=True, float_bias=True)),
    Case("quantized-bias", "a bias in int8", lambda n: bias(n, np.int8),
         lambda n: bias(n, np.int32), "onnxruntime"),
    Case("unpaired", "Relu", lambda n: lone(n, False), lambda n: lone(n, True)),
    Case("unpaired", "integers as an output",
         lambda n: after(n, lambda s, x: s.op("QuantizeLinear", x, s.const(0.1))), conv),
    Case("unpaired", "an input of the network",
         lambda n: after(n, lambda s, x: s.op("DequantizeLinear", x, s.const(0.1)), dtype=3), conv),
    Case("unpaired", "nobody reads",
         lambda n: after(n, lambda s, x: (s.pair(x), s.op("Relu", x))[1]), conv),
    Case("double-quantization", "dequantized",
         lambda n: after(n, lambda s, x: s.conv(s.pair(s.pair(x), scale=0.1))), conv),
    Case("useless-pair", "only Softmax",
         lambda n: after(n, lambda s, x: s.op("Softmax", s.pair(x))),
         lambda n: after(n, lambda s, x: s.op("Softmax", x))),
    Case("useless-pair", "only Conv",
         lambda n: conv(n, lambda s: s.const(np.ones((8, 8, 1, 1), np.float32))), conv),
    Case("quantized-output", "rounded", lambda n: after(n, lambda s, x: s.pair(s.op("Relu", x))),
         conv, "openvino"),
    Case("one-sided", "float input", lambda n: after(n, lambda s, x: s.conv(x)), conv),
    Case("group-size", "4 groups of 2 channels in, 2 out", lambda n: conv(n, group=4),
         lambda n: conv(n, group=2)),
    Case("depthwise", "8 channels", lambda n: conv(n, group=8), conv),
    Case("grouped", "2 groups", lambda n: conv(n, group=2), conv),
    Case("residual-input", "float, beside", lambda n: residual(n, False),
         lambda n: residual(n, True)),
    Case("residual-input", "both inputs", lambda n: two_branches(n, False),
         lambda n: two_branches(n, True)),
    Case("residual-branch", "through the pair", lambda n: residual(n, True, True),
         lambda n: residual(n, True)),
    Case("concat-scales", "scales 0.05, 0.1", lambda n: concat(n, 0.1), lambda n: concat(n, 0.05)),
    Case("float-output", "float output", lambda n: chained(n, np.uint8, last=False),
         lambda n: chained(n, np.uint8), "onnxruntime"),
    Case("float-output", "float output", lambda n: product(n, np.float32),
         lambda n: product(n, np.int32), "onnxruntime"),
    Case("float-output", "float output", lambda n: product(n, np.float32, "MatMul", added=True),
         lambda n: product(n, np.float32, "MatMul"), "onnxruntime"),
    Case("one-type", "uint8 in, int8 out", lambda n: chained(n, np.int8),
         lambda n: chained(n, np.uint8), "onnxruntime"),
    Case("x86-saturation", "1 layers", lambda n: unsigned(n, 127), lambda n: unsigned(n, 64),
         "onnxruntime"),
    Case("strong-typing", "float32", conv,
         lambda n: after(n, lambda s, x: s.pair(x, scale=HALF(0.05)), dtype=FP16, opset=19),
         version="11.4"),
    Case("double-type", "double",
         lambda n: after(n, lambda s, x: s.op("Relu", x), dtype=11), conv),
    Case("int64-values", "an int64 input",
         lambda n: after(n, lambda s, x: s.op("Abs", x), dtype=7), conv, version="8.6"),
    Case("int64-values", "the constant 4294967296",
         lambda n: after(n, lambda s, x: s.op("Reshape", x, s.const(np.array([2**32, -1])))),
         lambda n: after(n, lambda s, x: s.op("Reshape", x, s.const(np.array([2**63 - 1, -1])))),
         version="8.5"),
    Case("dynamic-dims", "(?, 8, ?, 8)",
         lambda n: after(n, lambda s, x: s.op("Relu", x), shape=("b", 8, "h", 8)), conv),
    Case("fp16-overflow", "x^3 overflows above 40.3",
         lambda n: after(n, lambda s, x: s.op("Pow", x, s.const(HALF(3))), dtype=FP16),
         lambda n: after(n, lambda s, x: s.op("Pow", x, s.const(HALF(0.5))), dtype=FP16)),
    Case("fp16-overflow", "ReduceL2 in float16",
         lambda n: after(n, lambda s, x: norm(s, x, HALF(1e-3)), dtype=FP16),
         lambda n: after(n, lambda s, x: norm(s, x, 1e-3))),
    Case("fp16-overflow", "a square",
         lambda n: after(n, lambda s, x: s.op("Mul", x, x), dtype=FP16), conv),
    Case("fp16-precision", "Softmax in float16",
         lambda n: after(n, lambda s, x: s.op("Softmax", x), dtype=FP16),
         lambda n: after(n, lambda s, x: s.op("Softmax", x))),
    Case("fp16-keep", "GridSample: a grid",
         lambda n: after(n, lambda s, x: s.op("GridSample", x, x), shape=("b", 8, 8, 2)), conv),
    Case("fp16-guard", "lower bound is 0",
         lambda n: after(n, lambda s, x: norm(s, x, HALF(1e-12)), dtype=FP16),
         lambda n: after(n, lambda s, x: norm(s, x, HALF(1e-3)), dtype=FP16)),
    Case("fp16-constant", "7e+04 in FP16",
         lambda n: after(n, lambda s, x: s.op("Mul", x, s.const(7e4))),
         lambda n: after(n, lambda s, x: s.op("Clip", x, s.const(-3.4028235e38)))),
    Case("fp16-keep", "ReduceL2: its sum", lambda n: after(n, lambda s, x: norm(s, x, 1e-3)), conv),
    Case("fp16-keep", "no constant", lambda n: after(n, lambda s, x: s.op("Pow", x, x)), conv),
    Case("fp16-small", "1e-12 becomes zero", lambda n: after(n, lambda s, x: norm(s, x, 1e-12)),
         lambda n: after(n, lambda s, x: norm(s, x, 1e-3))),
    Case("fp16-small", "1e-06 is denormal",
         lambda n: after(n, lambda s, x: s.op("Clip", x, s.const(1e-6))), conv),
    Case("external-weights", "1 constants", lambda n: external(n, True),
         lambda n: external(n, False)),
]  # fmt: skip


def nan_bias(new: Any, value: float) -> Any:
    s = new()
    values = np.ones(8, np.float32)
    values[3] = value
    return s.model(s.conv(s.pair("images"), bias=s.const(values)))


def run(model: Any, case: Case) -> Report:
    return lint(model, choose(case.target, case.version))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.rule}-{c.target}-{c.got[:20]}")
def test_a_rule_finds_what_breaks_it_and_leaves_the_mended_graph_alone(
    case: Case, sketch: Any
) -> None:
    (rule,) = (r for r in RULES if r.id == case.rule)
    found = [f for f in run(case.bad(sketch), case).findings if f.rule == case.rule]
    assert found, "the rule finds nothing"
    assert any(case.got in f.got for f in found), [f.got for f in found]
    assert {f.severity for f in found} == {rule.severity[case.target]}
    assert case.rule not in {f.rule for f in run(case.good(sketch), case).findings}


def test_every_rule_has_a_case() -> None:
    assert {c.rule for c in CASES} == {r.id for r in RULES}


@pytest.mark.parametrize("clean", [False, True], ids=["found", "clean"])
def test_onnxruntime_computes_in_8_bits_what_has_no_float_output_finding(
    clean: bool, sketch: Any, tmp_path: Path
) -> None:
    import onnx

    ort = pytest.importorskip("onnxruntime")
    cases = [c for c in CASES if c.rule == "float-output"]
    assert len(cases) == 3
    for case in cases:
        options = ort.SessionOptions()
        options.log_severity_level = 3  # it warns that the file is for this machine
        options.optimized_model_filepath = str(tmp_path / "ran.onnx")
        model = (case.good if clean else case.bad)(sketch)
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        ort.InferenceSession(model.SerializeToString(), options)
        ran = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
        assert bool(ran & {"QLinearConv", "QGemm", "MatMulIntegerToFloat"}) == clean
        assert bool(ran & {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul"}) != clean


def test_the_graph_that_cases_are_made_of_is_clean_for_tensorrt(sketch: Any) -> None:
    assert lint(conv(sketch), choose("tensorrt")).findings == ()


def test_a_finding_names_the_node_and_the_tensor(sketch: Any) -> None:
    found = lint(conv(sketch, pair={"zero": 3}), choose("tensorrt")).findings
    assert [(f.node, f.tensor) for f in found if f.rule == "zero-point"] == [
        ("QuantizeLinear0", "images")
    ], "once a pair"


def test_operators_inside_graphs_of_nodes_are_checked_too(sketch: Any) -> None:
    from onnx import TensorProto, helper

    inner = helper.make_node("Det", ["images"], ["det"], name="inner")
    value = helper.make_tensor_value_info("det", TensorProto.FLOAT, None)
    s = sketch()
    branch = helper.make_graph([inner], "branch", [], [value])
    condition = s.const(np.bool_(True))
    model = s.model(s.op("If", condition, then_branch=branch, else_branch=branch))
    found = lint(model, choose("tensorrt")).findings
    assert [(f.rule, f.node, f.got) for f in found] == [("operator", "inner", "Det")] * 2


def test_a_function_of_the_model_itself_is_looked_into(sketch: Any) -> None:
    from onnx import helper

    s = sketch()
    s.opsets.append(("own", 1))
    model = s.model(s.op("Twice", "images", domain="own"))
    body = [helper.make_node("Det", ["x"], ["y"], name="in the function")]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Twice", ["x"], ["y"], body, opsets))
    found = lint(model, choose("tensorrt")).findings
    assert [(f.rule, f.node) for f in found] == [("operator", "in the function")]


def test_gem_and_the_l2_norm_are_named_for_whoever_builds_with_fp16(sketch: Any) -> None:
    """GeM: (mean of max(x, 1e-6)^3)^(1/3), then x / max(|x|, 1e-12)."""
    s = sketch()
    cube = s.op("Pow", s.op("Clip", "images", s.const(1e-6)), s.const(3.0))
    mean = s.op("ReduceMean", cube, axes=[2, 3], keepdims=0)
    pooled = s.op("Pow", mean, s.const(1 / 3))
    found = lint(s.model(norm(s, pooled, 1e-12)), choose("tensorrt")).findings
    assert {f.severity for f in found} == {"note"}
    assert {(f.rule, f.node) for f in found} == {
        ("fp16-keep", "Pow1"),
        ("fp16-keep", "ReduceL24"),
        ("fp16-small", "Clip0"),
        ("fp16-small", "Clip5"),
    }
