"""Which operators a runtime takes, copied as facts from its own lists; ``source`` names them.

A list ages: a later release may take more. What a list does not say is not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

ONNX_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True)
class Operators:
    """The operators of one release. ``supported`` None: all of ONNX's own but ``missing``;
    ``domains``: whose operators are taken beside ONNX's own, without a list of them."""

    source: str
    supported: frozenset[str] | None = None
    missing: frozenset[str] = frozenset()
    domains: tuple[str, ...] = ()

    def takes(self, domain: str, kind: str) -> bool:
        """Whether the operator ``kind`` of ``domain`` is on the list."""
        if domain not in ONNX_DOMAINS:
            return domain in self.domains
        if self.supported is not None:
            return kind in self.supported
        return kind not in self.missing and _known(kind)


def _known(kind: str) -> bool:
    from onnx import defs

    return bool(defs.has(kind))


_TENSORRT_8_5 = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil
Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace
DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
GridSample GRU HardSwish HardSigmoid Identity If ImageScaler InstanceNormalization IsNaN LeakyRelu
Less LessOrEqual Log LogSoftmax Loop LRN LSTM LpNormalization LpPool MatMul Max MaxPool Mean
MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or Pad
ParametricSoftplus Pow PRelu QuantizeLinear RandomNormal RandomNormalLike RandomUniform
RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RNN
RoiAlign Round ScaledTanh Scan Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin
Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh
ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""
_TENSORRT_10_15_ADDS = """
Attention BlackmanWindow CastLike DeformConv Gelu GroupNormalization HammingWindow HannWindow
Hardmax IsInf LayerNormalization Mish RMSNormalization RotaryEmbedding STFT TensorScatter
"""
#: Of the list of 10.15, what came with ONNX's operator set 23 and 24, or with 10.15 itself.
_SINCE_10_15 = frozenset({"RMSNormalization", "RotaryEmbedding", "Attention", "TensorScatter"})
_OPENVINO_MISSING = """
Bernoulli DeformConv Det ImageDecoder LpPool MaxUnpool MelWeightMatrix Optional OptionalGetElement
OptionalHasElement RegexFullMatch SequenceMap StringConcat StringNormalizer StringSplit
TfIdfVectorizer
"""

TENSORRT_8_5 = Operators(
    "onnx-tensorrt docs/operators.md, TensorRT 8.5", frozenset(_TENSORRT_8_5.split())
)
TENSORRT_10_15 = Operators(
    "onnx-tensorrt docs/operators.md, TensorRT 10.15",
    frozenset((_TENSORRT_8_5 + _TENSORRT_10_15_ADDS).split()),
)
TENSORRT_10 = Operators(
    "onnx-tensorrt docs/operators.md, TensorRT 10.15, less the operators of opset 23 and later",
    (TENSORRT_10_15.supported or frozenset()) - _SINCE_10_15,
)
OPENVINO = Operators(
    "openvino src/frontends/onnx/docs/supported_ops.md",
    missing=frozenset(_OPENVINO_MISSING.split()),
    domains=("com.microsoft", "org.openvinotoolkit"),
)
ONNXRUNTIME = Operators(
    "onnxruntime.ai/docs/reference/compatibility.html: all of ONNX's own operators",
    domains=("ai.onnx.ml", "com.microsoft"),
)
