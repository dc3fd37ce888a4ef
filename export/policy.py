"""Where quantisation goes, one table a target: the same placement does not suit two runtimes.

``docs/quantization.md`` has the measurements behind the two x86 rows. The TensorRT row follows its
documentation (explicit quantisation: layer placement recommendations), the Arm row ONNX Runtime's
sources; neither has been run on such a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgereid.calibration.scheme import INT8, UINT8, UINT8_AFFINE, Scheme
from edgereid.export.moves import MOVES

_POOLINGS = ("MaxPool", "AveragePool", "ReduceMax", "ReduceMean", "GlobalMaxPool",
             "GlobalAveragePool")  # fmt: skip

#: So many weights that to bring them to float takes longer than to round what they multiply.
_LARGE = 1 << 14


@dataclass(frozen=True, slots=True)
class PlacementPolicy:
    """The rules of one target; ``reasons`` says why, in words, by the rule's name.

    Common to all: weights are signed, symmetric, per output channel; biases stay float; layers on
    1x1 maps (attention gates, the embedding head) compute in float, as they cost nothing, but for
    large ones where ``gates`` and ``heads`` say so.
    """

    target: str
    nonnegative: Scheme  # grid of activations in which no negative value was seen
    signed: Scheme  # grid of the others
    inputs_of: tuple[str, ...]  # operators whose inputs and weights are quantised
    weight_only: tuple[str, ...]  # operators that, left in float, still store INT8 weights
    gates: int | None  # gates with at least so many weights multiply in 8 bits; None: none
    heads: int | None  # and so do layers of the embedding head
    residual_of: tuple[str, ...]  # sums of a convolution's output whose other input is quantised
    both_addends: bool  # whether the convolution's own output is quantised there, too
    pools: tuple[str, ...]  # poolings quantised on both sides when what follows them is
    moves: tuple[str, ...]  # operators that move 8-bit codes, on one grid, when a reader wants them
    outputs_of: tuple[str, ...]  # operators whose output is quantised too, if all inputs are
    outputs_before: tuple[str, ...]  # and nothing else reads it but these; none: whoever reads it
    depthwise: bool  # whether convolutions with one input channel a group are quantised
    group_multiple: int  # channels of a group, in and out, are a multiple of it, else float
    reasons: Mapping[str, str]


OPENVINO = PlacementPolicy(
    target="openvino",
    nonnegative=UINT8,
    signed=INT8,
    inputs_of=("Conv",),
    weight_only=("Gemm", "Conv"),
    gates=_LARGE,
    heads=None,
    residual_of=("Add",),
    both_addends=True,
    pools=("MaxPool", "AveragePool"),
    moves=tuple(MOVES),
    outputs_of=("Conv", "Add"),
    outputs_before=("Split", *_POOLINGS),
    depthwise=True,
    group_multiple=1,
    reasons={
        "nonnegative": "twice the levels after ReLU, and x86 multiplies u8 by s8",
        "signed": "a zero point takes up to 4 % more time and brought no accuracy on five networks",
        "weight_only": "the head is a seventh of the file",
        "gates": "ResNeSt is 6 % faster: its largest have half a million weights",
        "heads": "rounding their inputs takes longer: SA-MBN is 2 % slower",
        "residual_of": "a sum of 8-bit tensors runs inside the convolution before it",
        "both_addends": "else a sum whose other input has more readers is a step of its own",
        "outputs_of": "poolings and split attention then read a quarter of the bytes: MGN 9 %, "
        "ResNeSt 5 % faster",
        "outputs_before": "sums, gates and attention maps gain next to nothing by it and are "
        "rounded once more; a layer that stays float is to read what was computed",
        "moves": "codes are copied as they are; in float Robust-ReID takes 1.2 times as long",
        "depthwise": "a float depthwise layer between 8-bit ones converts twice",
    },
)

ONNXRUNTIME = PlacementPolicy(
    target="onnxruntime",
    nonnegative=UINT8,
    signed=UINT8_AFFINE,
    inputs_of=("Conv",),
    weight_only=("Gemm", "Conv"),
    gates=_LARGE,
    heads=_LARGE,
    residual_of=("Add",),
    both_addends=False,
    pools=("MaxPool", "AveragePool"),
    moves=(),
    outputs_of=("Conv", "Add", "MaxPool", "AveragePool"),
    outputs_before=(),
    depthwise=True,
    group_multiple=1,
    reasons={
        "nonnegative": "u8 activations by s8 weights is the fast kernel on x86",
        "signed": "a fused operator needs one type on both sides, so signed tensors are u8 as well",
        "weight_only": "the file shrinks; the arithmetic of small gates is nothing",
        "gates": "a float layer dequantizes its weights at every run: ResNeSt is 11 % faster so",
        "heads": "as gates: MGN is 10 % faster",
        "outputs_of": "an operator runs in 8 bits only between DequantizeLinear and QuantizeLinear",
        "depthwise": "a float depthwise layer would break the chain of 8-bit operators",
    },
)

ONNXRUNTIME_ARM = PlacementPolicy(
    target="onnxruntime-arm",
    nonnegative=INT8,
    signed=INT8,
    inputs_of=("Conv",),
    weight_only=("Gemm", "Conv"),
    gates=_LARGE,
    heads=_LARGE,
    residual_of=("Add",),
    both_addends=False,
    pools=("MaxPool", "AveragePool"),
    moves=(),
    outputs_of=("Conv", "Add", "MaxPool", "AveragePool"),
    outputs_before=(),
    depthwise=True,
    group_multiple=1,
    reasons={
        "nonnegative": "one type throughout, as a fused operator needs it; see signed",
        "signed": "SDOT multiplies s8 by s8, and the packed symmetric product takes s8 only "
        "(onnxruntime pull requests 9772 and 9902); nothing saturates on Arm",
        "weight_only": "the file shrinks; the arithmetic of small gates is nothing",
        "gates": "a float layer dequantizes its weights at every run",
        "heads": "as gates",
        "outputs_of": "an operator runs in 8 bits only between DequantizeLinear and QuantizeLinear",
        "depthwise": "there is a kernel for it (onnxruntime pull request 9655)",
    },
)

TENSORRT = PlacementPolicy(
    target="tensorrt",
    nonnegative=INT8,
    signed=INT8,
    inputs_of=("Conv",),
    weight_only=(),
    gates=None,
    heads=None,
    residual_of=("Add",),
    both_addends=False,
    pools=("AveragePool",),
    moves=(),
    outputs_of=(),
    outputs_before=(),
    depthwise=False,
    group_multiple=4,
    reasons={
        "nonnegative": "explicit quantisation is signed and symmetric, zero point 0",
        "weight_only": "the embedding head stays FP16",
        "residual_of": "with an INT8 identity, convolution, sum and ReLU fuse into one kernel",
        "pools": "MaxPool commutes with Q/DQ and needs none; AveragePool does not",
        "depthwise": "INT8 depthwise kernels can be slower than FP16, or missing",
        "group_multiple": "INT8 convolutions need groups of a multiple of 4 channels",
    },
)

#: By the targets that ``edgereid export`` offers.
POLICIES: dict[str, PlacementPolicy] = {
    p.target: p for p in (ONNXRUNTIME, ONNXRUNTIME_ARM, OPENVINO, TENSORRT)
}
