"""How the fake fuses nodes into layers, and which type each layer runs in.

The rules are made up, shaped like the real ones (a convolution takes its activation, a residual
sum and its Q/DQ with it). Which fusions, types and times a real builder chooses is its own affair.
"""

from __future__ import annotations

from collections.abc import Mapping

from trt_fakes.model import QUANTISING, Model, Node
from trt_fakes.plan import LayerInfo

#: Operator -> (LayerType of the API, LayerType in the inspector).
KINDS = {
    "Conv": ("CONVOLUTION", "CaskConvolution"),
    "Gemm": ("MATRIX_MULTIPLY", "gemm"),
    "MatMul": ("MATRIX_MULTIPLY", "gemm"),
    "Relu": ("ACTIVATION", "PointWise"),
    "Sigmoid": ("ACTIVATION", "PointWise"),
    "Tanh": ("ACTIVATION", "PointWise"),
    "Clip": ("ACTIVATION", "PointWise"),
    "Add": ("ELEMENTWISE", "PointWiseV2"),
    "Mul": ("ELEMENTWISE", "PointWiseV2"),
    "Div": ("ELEMENTWISE", "PointWiseV2"),
    "Sub": ("ELEMENTWISE", "PointWiseV2"),
    "Pow": ("ELEMENTWISE", "PointWiseV2"),
    "Sqrt": ("UNARY", "PointWise"),
    "MaxPool": ("POOLING", "CaskPooling"),
    "AveragePool": ("POOLING", "CaskPooling"),
    "GlobalAveragePool": ("REDUCE", "CaskPooling"),
    "ReduceMean": ("REDUCE", "Reduce"),
    "ReduceSum": ("REDUCE", "Reduce"),
    "ReduceMax": ("REDUCE", "Reduce"),
    "ReduceL2": ("REDUCE", "Reduce"),
    "Softmax": ("SOFTMAX", "SoftMax"),
    "Concat": ("CONCATENATION", "Concat"),
    "Reshape": ("SHUFFLE", "NoOp"),
    "Flatten": ("SHUFFLE", "NoOp"),
    "Transpose": ("SHUFFLE", "Shuffle"),
    "Squeeze": ("SHUFFLE", "NoOp"),
    "Unsqueeze": ("SHUFFLE", "NoOp"),
    "Cast": ("CAST", "Reformat"),
    "Slice": ("SLICE", "Slice"),
    "Split": ("SLICE", "Slice"),
    "Gather": ("GATHER", "Gather"),
    "GridSample": ("GRID_SAMPLE", "GridSample"),
    "InstanceNormalization": ("NORMALIZATION", "Normalization"),
    "QuantizeLinear": ("QUANTIZE", "Reformat"),
    "DequantizeLinear": ("DEQUANTIZE", "Reformat"),
    "Constant": ("CONSTANT", "Constant"),
    "Shape": ("SHAPE", "Shape"),
}
OTHER = ("ELEMENTWISE", "Myelin")
FOLLOWERS = ("Relu", "Clip", "Sigmoid", "Add")
WEIGHTED = ("Conv", "Gemm", "MatMul")
#: Share of a millisecond that a layer takes, by type: so that times differ.
SPEED = {"Float": 0.4, "Half": 0.2, "BFloat16": 0.2, "Int8": 0.1}
SHORT = {"FLOAT": "Float", "HALF": "Half", "BF16": "BFloat16", "INT8": "Int8"}


def _consumers(model: Model) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in model.nodes:
        for name in node.inputs:
            found.setdefault(name, []).append(node)
    return found


def fuse(model: Model) -> list[list[Node]]:
    """Groups of nodes that become one layer each; Q/DQ before a weighted node belong to it."""
    consumers = _consumers(model)
    producers = {name: node for node in model.nodes for name in node.outputs}
    taken: set[str] = set()
    groups = []
    outputs = {t.name for t in model.tensors if not t.is_input}
    for node in model.nodes:
        if node.op not in WEIGHTED:
            continue
        before = []
        for name in node.inputs:
            dequantize = producers.get(name)
            if dequantize is not None and dequantize.op == QUANTISING[1]:
                before.append(dequantize)
                quantize = producers.get(dequantize.inputs[0])
                if quantize is not None and quantize.op == QUANTISING[0]:
                    before.insert(-1, quantize)
        group = [n for n in before if n.name not in taken] + [node]
        last = node
        while last.outputs[0] not in outputs:
            after = consumers.get(last.outputs[0], [])
            if len(after) != 1 or after[0].op not in FOLLOWERS or after[0].name in taken:
                break
            last = after[0]
            group.append(last)
        groups.append(group)
        taken |= {n.name for n in group}
    rest = [[n] for n in model.nodes if n.name not in taken and n.op != "Constant"]
    order = {n.name: i for i, n in enumerate(model.nodes)}
    return sorted([*groups, *rest], key=lambda g: order[g[-1].name])


def quantized(group: list[Node], model: Model) -> bool:
    """Whether a group's arithmetic is between DequantizeLinear and works in INT8."""
    from_dq = {o for n in model.nodes if n.op == QUANTISING[1] for o in n.outputs}
    main = next((n for n in group if n.op in WEIGHTED), None)
    return main is not None and len(main.inputs) > 1 and set(main.inputs[:2]) <= from_dq


def build_layers(
    model: Model, flags: frozenset[str], strong: bool, fixed: Mapping[str, str],
    chosen: Mapping[str, str], calibrated: bool = False,
) -> tuple[LayerInfo, ...]:  # fmt: skip
    """The engine's layers. ``fixed``: node -> type that the network insists on; ``chosen``: node ->
    type that the fake builder takes instead (a test's wish)."""
    layers = []
    for group in fuse(model):
        main = next((n for n in group if n.op in WEIGHTED), group[-1])
        names = [n.name for n in group]
        wanted = next((fixed[n] for n in names if n in fixed), None)
        if strong:
            precision = SHORT.get(model.types.get(main.outputs[0], "FLOAT"), "Float")
        else:
            precision = "Half" if "FP16" in flags else "Float"
        in_int8 = quantized(group, model) or (calibrated and main.op in WEIGHTED)
        if wanted is not None:
            precision = SHORT.get(wanted, "Float")
        elif in_int8 and (strong or "INT8" in flags):
            precision = "Int8"
        precision = next((chosen[n] for n in names if n in chosen), precision)
        weights = sum(model.sizes.get(name, 0) for n in group for name in n.inputs)
        work = 0.01 + weights / 1e7
        produced = {name for n in group for name in n.outputs}
        inputs = dict.fromkeys(
            name
            for n in group
            for name in n.inputs
            if name and name not in produced and name not in model.sizes
        )
        layers.append(
            LayerInfo(
                name=" + ".join(names),
                kind=KINDS.get(main.op, OTHER)[1],
                nodes=tuple(names),
                operators=tuple(n.op for n in group),
                precision=precision,
                inputs=tuple(inputs),
                outputs=(group[-1].outputs[0],),
                milliseconds=round(work * SPEED[precision], 6),
                weights=weights,
            )
        )
    return tuple(layers)
