"""What the fake's parser makes of an ONNX file: checks that a real one would make at the least.

It proves nothing about what the real parser takes. Sources of the limits: onnx-tensorrt's
``docs/operators.md`` and release notes (opsets, operators that are not listed).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trt_fakes.plan import TensorInfo

#: Release -> the highest opset that its parser is documented for.
OPSETS = {"8.6": 17, "10.3": 20, "10.13": 24, "10.16": 24, "11.4": 24}
NOT_SUPPORTED = {
    "AffineGrid",
    "ConvInteger",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
}
#: ONNX element type -> DataType.
TYPES = {
    1: "FLOAT",
    2: "UINT8",
    3: "INT8",
    6: "INT32",
    7: "INT64",
    9: "BOOL",
    10: "HALF",
    16: "BF16",
    17: "FP8",
}
QUANTISING = ("QuantizeLinear", "DequantizeLinear")


class ModelError(Exception):
    """A message of the parser. ``node`` is the index of the node, -1 without one."""

    def __init__(self, code: str, text: str, node: int = -1, name: str = "", op: str = "") -> None:
        super().__init__(text)
        self.code, self.text, self.node, self.name, self.op = code, text, node, name, op


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A parsed file. ``types``: tensor -> DataType, for what shape inference knows."""

    name: str
    data: bytes
    opset: int
    tensors: tuple[TensorInfo, ...]
    nodes: tuple[Node, ...]
    types: dict[str, str]
    sizes: dict[str, int]  # initializer -> number of elements

    @property
    def quantized(self) -> bool:
        return any(n.op in QUANTISING for n in self.nodes)

    @property
    def half_quantized(self) -> bool:
        """Q/DQ whose float side is FP16: only a strongly typed network takes it."""
        sides = [n.inputs[0] if n.op == QUANTISING[0] else n.outputs[0] for n in self.nodes
                 if n.op in QUANTISING]  # fmt: skip
        return any(self.types.get(side) in ("HALF", "BF16") for side in sides)

    @property
    def dynamic(self) -> bool:
        return any(-1 in t.dims for t in self.tensors if t.is_input)


def read(data: bytes, path: str | None, release: str) -> Model:
    """Parse and check. Raises ModelError."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ModelError(
            "MODEL_DESERIALIZE_FAILED", f"Failed to parse ONNX model from memory: {error}"
        ) from error
    if not proto.graph.node:
        raise ModelError("MODEL_DESERIALIZE_FAILED", "Failed to parse ONNX model from memory")
    _load_external(proto, path)
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset > OPSETS[release]:
        raise ModelError(
            "UNSUPPORTED_GRAPH",
            f"opset {opset} is above {OPSETS[release]}, the last that this parser knows",
        )
    try:
        onnx.checker.check_model(proto)
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError("INVALID_GRAPH", " ".join(str(error).split())[:300]) from error
    for i, node in enumerate(proto.graph.node):
        _check_node(i, node, opset)
    _check_zero_points(proto)
    return _model(proto, inferred.graph, opset)


def _load_external(proto: Any, path: str | None) -> None:
    from onnx import TensorProto, external_data_helper

    outside = [t for t in proto.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    if not outside:
        return
    folder = Path(path).parent if path else Path()
    try:
        external_data_helper.load_external_data_for_model(proto, str(folder))
    except Exception as error:
        raise ModelError(
            "MODEL_DESERIALIZE_FAILED", f"Failed to open file: {folder / outside[0].name}"
        ) from error


def _check_node(i: int, node: Any, opset: int) -> None:
    refused = node.op_type in NOT_SUPPORTED or node.domain not in ("", "ai.onnx")
    if refused:
        raise ModelError(
            "UNSUPPORTED_NODE",
            f"Plugin not found, are the plugin name, version, and namespace correct? No importer "
            f"registered for op: {node.op_type}",
            i,
            node.name,
            node.op_type,
        )


def _check_zero_points(proto: Any) -> None:
    from onnx import TensorProto, numpy_helper

    constants = {t.name: t for t in proto.graph.initializer}
    constants |= {
        n.output[0]: n.attribute[0].t
        for n in proto.graph.node
        if n.op_type == "Constant" and n.attribute[0].name == "value"
    }
    for i, node in enumerate(proto.graph.node):
        if node.op_type not in QUANTISING or len(node.input) < 3 or not node.input[2]:
            continue
        zero = constants.get(node.input[2])
        where = (i, node.name, node.op_type)
        if zero is None:
            raise ModelError("INVALID_NODE", "zero point must be a constant", *where)
        if zero.data_type != TensorProto.INT8:
            raise ModelError("UNSUPPORTED_NODE", "TensorRT only supports INT8 zero points", *where)
        if numpy_helper.to_array(zero).any():
            raise ModelError(
                "UNSUPPORTED_NODE",
                "TensorRT only supports symmetric quantization. The zero point must be all zeros",
                *where,
            )


def _shape(value: Any) -> tuple[tuple[int, ...], tuple[str, ...]]:
    dims = value.type.tensor_type.shape.dim
    sizes = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in dims)
    return sizes, tuple("" if d.HasField("dim_value") else d.dim_param for d in dims)


def _model(proto: Any, graph: Any, opset: int) -> Model:
    constants = {t.name for t in graph.initializer}
    types = {
        v.name: TYPES.get(v.type.tensor_type.elem_type, "FLOAT")
        for v in (*graph.value_info, *graph.input, *graph.output)
    }
    types |= {t.name: TYPES.get(t.data_type, "FLOAT") for t in graph.initializer}
    known = {v.name: v for v in (*graph.value_info, *graph.output)}
    tensors = []
    for value in graph.input:
        if value.name not in constants:
            tensors.append(TensorInfo(value.name, types[value.name], *_shape(value), True))
    for value in graph.output:
        best = known.get(value.name, value)
        tensors.append(TensorInfo(value.name, types[value.name], *_shape(best), False))
    nodes = tuple(
        Node(n.name or f"{n.op_type}_{i}", n.op_type, tuple(n.input), tuple(n.output))
        for i, n in enumerate(proto.graph.node)
    )
    sizes = {t.name: int(_volume(t.dims)) for t in proto.graph.initializer}
    return Model(
        proto.graph.name, proto.SerializeToString(), opset, tuple(tensors), nodes, types, sizes
    )


def _volume(dims: Any) -> int:
    volume = 1
    for size in dims:
        volume *= size
    return volume
