"""The rules on quantizers and the layers between them."""

from __future__ import annotations

from edgereid.export.lint import grid, layers, pairs, weights
from edgereid.export.lint.finding import ERROR, NOTE, WARNING, Rule
from edgereid.export.lint.severity import (
    FP16,
    GUIDE,
    LAYER,
    STANDARD,
    everywhere,
    onnxruntime,
    tensorrt,
)

# id, what it checks, what is allowed, what to do, why, source, severity by target, function
QUANTIZER_RULES: tuple[Rule, ...] = (
    Rule(
        "zero-point", "zero point of activations (OpenVINO: of int8)", "0",
        "calibrate symmetrically: export --int8 with this target",
        "TensorRT is symmetric; OpenVINO ran such graphs in float",
        f"{LAYER}; docs/quantization.md", {"tensorrt": ERROR, "openvino": WARNING},
        grid.activation_zero_point,
    ),
    Rule(
        "weight-zero-point", "zero point of weights", "0",
        "quantize weights symmetrically",
        "TensorRT is symmetric; ONNX Runtime's fast kernels need symmetric weights",
        f"{LAYER}; onnxruntime pull requests 9772 and 9902", tensorrt(ERROR, WARNING),
        grid.weight_zero_point,
    ),
    Rule(
        "activation-type", "integers of activations", "the target's types",
        "export --int8 with this target",
        "TensorRT knows no uint8 activations; signed ones made ONNX Runtime on x86 three times "
        "slower than float",
        f"{LAYER}; docs/quantization.md", tensorrt(ERROR, WARNING), grid.activation_type,
    ),
    Rule(
        "weight-type", "integers of weights", "int8",
        "quantize weights to int8", "every fast kernel takes signed weights",
        f"{LAYER}; onnxruntime.ai, quantization, data type selection", tensorrt(ERROR, WARNING),
        grid.weight_type,
    ),
    Rule(
        "weight-axis", "axis of per-channel weight scales", "the output channels' axis",
        "axis 0 for Conv, 1 for ConvTranspose, Gemm by its transB, the last for MatMul",
        "a scale can only be taken out of a sum over inputs if it is one of the output's",
        f"{LAYER}", tensorrt(ERROR, WARNING), grid.weight_axis,
    ),
    Rule(
        "per-channel-activation", "number of scales of an activation", "1",
        "calibrate activations per tensor",
        "products of inputs with different scales cannot be summed as integers", LAYER,
        tensorrt(ERROR, WARNING), grid.per_channel_activation,
    ),
    Rule(
        "constant-parameters", "scales and zero points", "constants",
        "fold constants (onnxruntime, polygraphy surgeon sanitize), or quantize statically",
        "engines take them in when they are built", LAYER, tensorrt(ERROR, WARNING),
        grid.constant_parameters,
    ),
    Rule(
        "scale-shape", "number of scales against the axis", "1, or one for each index of the axis",
        "write scales along the axis that the node names", "the file has no meaning otherwise",
        STANDARD, everywhere(ERROR), grid.scale_shape,
    ),
    Rule(
        "scale-value", "scales", "finite and above 0",
        "look for NaN in the calibration; a dead tensor gets the smallest normal number",
        "division by the scale", LAYER, everywhere(ERROR), grid.scale_value,
    ),
    Rule(
        "scale-denormal", "scales", "normal numbers of their type",
        "raise it to the smallest normal number: the tensor is zero anyway",
        "denormal numbers are flushed to zero on many devices", FP16, everywhere(WARNING),
        grid.scale_denormal,
    ),
    Rule(
        "pair-parameters", "a pair's scale, zero point and axis", "equal in both nodes",
        "give both nodes the same constants", "the tensor is scaled without a word otherwise",
        STANDARD, everywhere(ERROR), grid.pair_parameters,
    ),
    Rule(
        "finite-weights", "weights, biases, batch norms", "finite numbers",
        "retrain or repair: one NaN makes every embedding NaN", "NaN spreads", "arithmetic",
        everywhere(ERROR), weights.finite_weights,
    ),
    Rule(
        "weight-saturation", "share of weights at the end of the grid", "at most 5 %",
        "take a larger scale (the maximum), or scales per channel",
        "what is cut off is lost", STANDARD, everywhere(WARNING), weights.weight_saturation,
    ),
    Rule(
        "weight-levels", "levels that channels use", "at least 16 of 127 in half of them",
        "use scales per channel: after folding batch norm, channels differ a hundredfold",
        "few levels are coarse weights", "Krishnamoorthi 2018, arXiv 1806.08342",
        everywhere(WARNING), weights.weight_levels,
    ),
    Rule(
        "quantized-bias", "biases", "float (not TensorRT: int32)",
        "leave the bias out of quantization",
        "TensorRT adds biases in its own precision and has no such kernel", GUIDE,
        tensorrt(ERROR, WARNING), pairs.bias,
    ),
    Rule(
        "unpaired", "QuantizeLinear and DequantizeLinear stand together",
        "Q, then DQ, then the readers", "remove what is left of the pair",
        "half a pair fuses with nothing, or breaks the build", GUIDE, tensorrt(ERROR, WARNING),
        pairs.unpaired,
    ),
    Rule(
        "double-quantization", "DequantizeLinear then QuantizeLinear", "one rounding a tensor",
        "remove one pair", "two grids lose more than one and cost a kernel", GUIDE,
        everywhere(WARNING), pairs.double,
    ),
    Rule(
        "useless-pair", "who reads a quantized activation", "somebody in 8 bits",
        "remove the pair: GeM, norms, softmax and crops stay float",
        "rounding for nothing, and a kernel for it", GUIDE, everywhere(WARNING), pairs.useless,
    ),
    Rule(
        "quantized-output", "the network's output", "float",
        "remove the last pair", "the embedding's last digits tell people apart", GUIDE,
        everywhere(WARNING), pairs.output,
    ),
    Rule(
        "one-sided", "weights in 8 bits on a float input", "both factors or none",
        "quantize the input, too, or leave the weights float",
        "quantize all inputs of weighted operations", GUIDE, tensorrt(WARNING), layers.one_sided,
    ),
    Rule(
        "group-size", "channels of a group of an 8-bit convolution", "multiples of 4, in and out",
        "leave the convolution float",
        "the size of the groups must be a multiple of 4 for both input and output",
        "TensorRT's IConvolutionLayer::setNbGroups", tensorrt(ERROR), layers.group_size,
    ),
    Rule(
        "depthwise", "8-bit depthwise convolutions", "float",
        "leave it float unless measured on the device",
        "they can be slower than FP16, or have no kernel", "NVIDIA/TensorRT issues 4060 and 4529",
        tensorrt(WARNING), layers.depthwise,
    ),
    Rule(
        "grouped", "8-bit grouped convolutions", "allowed; measure it",
        "compare with FP16 on the device", "they are split by group and can be slower than FP16",
        "NVIDIA/TensorRT issues 4529 and 1409", tensorrt(NOTE), layers.grouped,
    ),
    Rule(
        "residual-input", "the identity of a sum with an 8-bit convolution", "quantized",
        "put a pair on the branch that is not the convolution's",
        "convolution, sum and ReLU fuse into one 8-bit kernel only then", GUIDE,
        tensorrt(WARNING) | {"openvino": NOTE}, layers.residual_input,
    ),
    Rule(
        "residual-branch", "the convolution's own branch of a sum", "as it is",
        "move the pair to the other branch",
        "a pair between convolution and sum keeps them from fusing", GUIDE, tensorrt(WARNING),
        layers.residual_branch,
    ),
    Rule(
        "concat-scales", "scales of what is concatenated", "equal",
        "give the inputs one range", "the concatenation costs a kernel a branch otherwise",
        "NVIDIA/TensorRT issue 4366", tensorrt(NOTE), pairs.concat_scales,
    ),
    Rule(
        "float-output", "output of an 8-bit operator", "quantized, too",
        "put a pair behind it (behind its ReLU); for a Gemm an int32 bias is enough",
        "ONNX Runtime runs other operators in 8 bits only between DQ and Q", "docs/quantization.md",
        onnxruntime(WARNING), layers.float_output,
    ),
    Rule(
        "one-type", "types before and behind an 8-bit operator", "one type",
        "use one type of activations for the whole network",
        "a fused operator needs one type on both sides", "onnxruntime, QLinearConv's T1 and T3",
        onnxruntime(WARNING), layers.one_type,
    ),
    Rule(
        "x86-saturation", "u8 by s8 with large weights", "VNNI in the processor",
        "on x86 without VNNI: weights in 7 bits (reduce_range)",
        "VPMADDUBSW sums two products in 16 bits and saturates",
        "onnxruntime.ai, quantization, data type selection", {"onnxruntime": NOTE},
        weights.x86_saturation,
    ),
)  # fmt: skip
