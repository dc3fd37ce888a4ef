"""From a counted graph to the layers that a runtime launches.

The rule, of what TensorRT fuses: a convolution or matrix product takes in what follows it alone, as
long as that works number by number (batch norm, activation, a product, the sum with a shortcut);
a chain of such nodes without a convolution before it is one layer. Views, concatenations (their
inputs are written in place) and arithmetic on shapes cost nothing. All else is a layer of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgereid.bench.roofline.network import Network, Node

DENSE, THIN, MEMORY = "dense", "thin", "memory"
KINDS = (DENSE, THIN, MEMORY)
#: Products summed for one output number, below which a layer is thin: less than the depth of one
#: INT8 matrix instruction, as in depthwise convolutions and in a first layer of 3 x 3.
DENSE_PRODUCTS = 32

_POINTWISE = frozenset(
    {
        "Add", "BatchNormalization", "Clip", "Div", "Elu", "Erf", "Exp", "HardSigmoid",
        "HardSwish", "LeakyRelu", "Log", "Max", "Min", "Mul", "Neg", "PRelu", "Pow", "Reciprocal",
        "Relu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh",
    }
)  # fmt: skip
_FREE = frozenset(
    {
        "Cast", "Concat", "Constant", "ConstantOfShape", "Dropout", "Flatten", "Identity",
        "Reshape", "Shape", "Squeeze", "Unsqueeze",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FusedLayer:
    """One launch, for one image: MACs, numbers of activations read and written, weights."""

    kind: str
    macs: int
    activations: int
    weights: int


@dataclass(slots=True)
class _Open:
    """A layer that may still take in the next node; ``index``: its place among the layers."""

    index: int
    nodes: list[Node]
    reads: set[str]
    writes: str


def fuse(network: Network) -> tuple[FusedLayer, ...]:
    """The layers of a graph counted at one image, in its order."""
    shapes = _shape_values(network)
    real = _aliases(network, shapes)
    readers = _readers(network, real, shapes)
    layers: list[_Open] = []
    maker: dict[str, _Open] = {}
    for node in network.nodes:
        if node.op in _FREE or not node.outputs or node.outputs[0] in shapes:
            continue
        inputs = {real.get(name, name) for name in node.inputs if name not in shapes}
        host = _host(node, inputs, maker, readers)
        if host is None:
            host = _Open(len(layers), [node], inputs, node.outputs[0])
            layers.append(host)
        else:
            host.reads |= inputs - {host.writes}
            host.nodes.append(node)
            host.writes = node.outputs[0]
        maker.update(dict.fromkeys(node.outputs, host))
    return tuple(_layer(layer, network) for layer in layers)


def _host(
    node: Node, inputs: set[str], maker: dict[str, _Open], readers: dict[str, int]
) -> _Open | None:
    """The layer that takes the node in: the latest that made one of its inputs for it alone."""
    if node.op not in _POINTWISE:
        return None
    able = [
        maker[name]
        for name in inputs
        if name in maker
        and maker[name].writes == name
        and readers.get(name, 0) == 1
        and (maker[name].nodes[0].macs or maker[name].nodes[0].op in _POINTWISE)
    ]
    return max(able, key=lambda host: host.index, default=None)


def _shape_values(network: Network) -> set[str]:
    """Tensors that hold shapes or numbers worked out of them: nothing is launched for them."""
    found: set[str] = set()
    for node in network.nodes:
        if node.op in ("Shape", "Constant") or all(name in found for name in node.inputs):
            found.update(node.outputs)
    return found


def _aliases(network: Network, shapes: set[str]) -> dict[str, str]:
    """What a view shows -> the tensor behind it."""
    real: dict[str, str] = {}
    for node in network.nodes:
        inputs = [name for name in node.inputs if name not in shapes]
        if node.op in _FREE and len(inputs) == 1 and node.outputs:
            real[node.outputs[0]] = real.get(inputs[0], inputs[0])
    return real


def _readers(network: Network, real: dict[str, str], shapes: set[str]) -> dict[str, int]:
    """How often each tensor is read, through views; being an output of the graph counts."""
    count: dict[str, int] = {}
    read = [n for x in network.nodes if x.op not in _FREE or len(x.inputs) > 1 for n in x.inputs]
    for name in (*read, *network.outputs):
        if name not in shapes:
            count[real.get(name, name)] = count.get(real.get(name, name), 0) + 1
    return count


def _layer(layer: _Open, network: Network) -> FusedLayer:
    macs = sum(node.macs or 0 for node in layer.nodes)
    first = layer.nodes[0]
    written = network.sizes.get(layer.writes, 0)
    made = network.sizes.get(first.outputs[0], 0)
    kind = MEMORY
    if macs:
        kind = DENSE if macs >= DENSE_PRODUCTS * made else THIN
    return FusedLayer(
        kind=kind,
        macs=macs,
        activations=written + sum(network.sizes.get(name, 0) for name in layer.reads),
        weights=sum(node.weights for node in layer.nodes),
    )
