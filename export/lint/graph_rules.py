"""The rules on the file as a whole and on half precision."""

from __future__ import annotations

from edgereid.export.lint import fp16, graphs
from edgereid.export.lint.finding import ERROR, NOTE, WARNING, Rule
from edgereid.export.lint.severity import FP16, STANDARD, everywhere, onnxruntime, tensorrt

# id, what it checks, what is allowed, what to do, why, source, severity by target, function
GRAPH_RULES: tuple[Rule, ...] = (
    Rule(
        "opset", "operator set of the file", "a set that the parser reads",
        "export at another opset, or convert with onnx.version_converter",
        "the parser refuses other sets", "the table of releases in export/lint/targets.py",
        tensorrt(ERROR) | onnxruntime(ERROR), graphs.opset,
    ),
    Rule(
        "qdq-opset", "operator set of per-channel and float16 scales", "13 or later, 19 or later",
        "convert the float model to that opset first, then quantize",
        "earlier sets ignore the axis, and know float32 alone", STANDARD,
        everywhere(ERROR), graphs.qdq_opset,
    ),
    Rule(
        "operator", "every operator is on the target's list", "the operators that the list names",
        "export the layer in other operators, or keep it out of the graph",
        "the parser stops at an operator that it does not know",
        "the lists in export/lint/operators.py", everywhere(ERROR), graphs.operator,
    ),
    Rule(
        "operator-limits", "how poolings, crops and quantizers are used", "what the list allows",
        "export the layer another way", "restrictions of single operators",
        "onnx-tensorrt docs/operators.md", tensorrt(ERROR), graphs.operator_limits,
    ),
    Rule(
        "strong-typing", "types around quantizers, TensorRT 11 and later", "float16",
        "cast the model to float16 around its pairs, opset 19 or later",
        "types are obeyed: what is typed float32 between 8-bit layers runs in FP32",
        "TensorRT migration guide, 10.x to 11.x", tensorrt(WARNING), graphs.strong_typing,
    ),
    Rule(
        "double-type", "float64 tensors", "float32", "cast the model to float32",
        "TensorRT casts it down, others are slow", "onnx-tensorrt docs/operators.md",
        tensorrt(WARNING, NOTE), graphs.double_type,
    ),
    Rule(
        "int64-values", "INT64 where TensorRT 8 has INT32", "values of 32 bits",
        "use int32, or TensorRT 10", "they are cut to INT32", "onnx-tensorrt docs/operators.md",
        tensorrt(WARNING), graphs.int64_values,
    ),
    Rule(
        "dynamic-dims", "dynamic dimensions of inputs", "the batch alone",
        "export at a fixed height and width",
        "kernels are chosen for one size, and every other needs a profile",
        "TensorRT developer guide, dynamic shapes", tensorrt(WARNING, NOTE), graphs.dynamic_dims,
    ),
    Rule(
        "fp16-overflow", "powers, squares, norms typed float16", "float32 for GeM and L2",
        "cast to float32 before it and back behind it",
        "the largest number of FP16 is 65504", FP16, tensorrt(ERROR), fp16.typed,
    ),
    Rule(
        "fp16-precision", "softmax and crops typed float16", "float32",
        "cast to float32 before it and back behind it",
        "FP16 has 11 bits: three digits", FP16, tensorrt(WARNING), fp16.coarse,
    ),
    Rule(
        "fp16-guard", "divisors typed float16", "a lower bound above 0",
        "compute the norm and its bound in float32", "1e-12 is 0 in FP16: 0 / 0", FP16,
        tensorrt(ERROR), fp16.lost_guard,
    ),
    Rule(
        "fp16-constant", "constants of float32", "at most 65504",
        "scale the layer, or keep it in FP32", "a larger one is infinity in FP16", FP16,
        tensorrt(WARNING), fp16.large_constant,
    ),
    Rule(
        "fp16-keep", "powers, norms, softmax, crops where the builder chooses FP16",
        "FP32 by constraint",
        "set their precision to FP32 when the engine is built",
        "the largest number of FP16 is 65504", FP16, tensorrt(NOTE), fp16.keep,
    ),
    Rule(
        "fp16-small", "small bounds and summands", "at least 6e-5, or FP32 by constraint",
        "keep the operator and the division behind it in FP32",
        "below 6.1e-5 FP16 is denormal, below 3e-8 zero", FP16, tensorrt(NOTE), fp16.small_constant,
    ),
    Rule(
        "external-weights", "weights in other files", "in the file",
        "save the model in one file to have its numbers checked",
        "the lint reads one file only", "safety: a path may lead anywhere", everywhere(NOTE),
        graphs.external_weights,
    ),
)  # fmt: skip
