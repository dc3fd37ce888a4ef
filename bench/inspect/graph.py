"""The ONNX file an engine was built from: its nodes, their MACs, and where it asks for INT8."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgereid.bench.roofline.network import Network, Node, count
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError, MissingRuntimeError

_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
#: Between a quantizer and the arithmetic that reads it; they change no number.
_VIEWS = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast")
#: What ``edgereid build`` adds to a tensor's name where it types a network FP16: other forms of the
#: tensor, and casts between them.
_TYPED = re.compile(r"(?:/f16_*|/f32_*)?(?:/cast)?$")


@dataclass(frozen=True)
class Source:
    """A graph by the names that TensorRT may use. ``lookup``: node or tensor -> node of
    ``network``; ``quantizers`` and ``constants``: names of Q/DQ nodes, of inputs and weights;
    ``after``: output of each node, quantizers too, -> the nodes that read it; ``asked``: nodes
    with arithmetic all of whose operands are dequantised -> names of what quantises their data."""

    network: Network
    lookup: Mapping[str, str]
    quantizers: frozenset[str]
    constants: frozenset[str]
    after: Mapping[str, tuple[str, ...]]
    asked: Mapping[str, frozenset[str]]

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Node by name."""
        return {node.name: node for node in self.network.nodes}

    def find(self, name: str) -> str | None:
        """The node of that name, or that makes the tensor of that name; None if there is none."""
        return self.lookup.get(name)

    def known(self, name: str) -> bool:
        """Whether the file has a node, tensor or weight of that name, or one that edgereid's own
        typing derives from a tensor's."""
        return self._has(name) or self._has(_TYPED.sub("", name))

    def _has(self, name: str) -> bool:
        return name in self.lookup or name in self.quantizers or name in self.constants

    def between(self, first: str, last: str) -> tuple[str, ...]:
        """The nodes on every way from ``first`` to ``last``, both included, in the graph's order.
        A region that a compiler runs in one piece must hold them all; it may hold more."""
        if not self.known(first) or not self.known(last):
            return ()
        before: dict[str, list[str]] = {}
        for source, readers in self.after.items():
            for reader in readers:
                before.setdefault(reader, []).append(source)
        start, end = self._raw(first), self._raw(last)
        on_way = _reach(start, self.after) & _reach(end, before)
        return tuple(n.name for n in self.network.nodes if n.name in on_way)

    def _raw(self, name: str) -> str:
        """As ``after`` has it: a node's own name, a quantizer's too."""
        return name if name in self.quantizers else self.lookup.get(name, name)


def _reach(start: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    seen, waiting = {start}, [start]
    while waiting:
        for name in edges.get(waiting.pop(), ()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen


def read_source(path: Path, batch: int = 1) -> Source:
    """Read an ONNX file, without the weights it keeps elsewhere. Raises InputError, and
    MissingRuntimeError without the package onnx."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise MissingRuntimeError(
            f"the package onnx is needed to join layers with {path}: pip install onnx."
        ) from error
    if not path.is_file():
        raise InputError(f"{path} does not exist: give the ONNX file the engine was built from.")
    with runtime_errors(f"{path} is not an ONNX file that can be read"):
        model = onnx.load(str(path), load_external_data=False)
    if not model.graph.node:
        raise InputError(f"{path} is not an ONNX file that can be read: it has no nodes.")
    return source_of(model, batch)


def source_of(model: Any, batch: int = 1) -> Source:
    """The names of an onnx.ModelProto; the model is left as it is."""
    network = count(model, batch)
    graph = model.graph
    quantizers, constants = set(), {i.name for i in (*graph.initializer, *graph.input)}
    lookup: dict[str, str] = {node.name: node.name for node in network.nodes}
    own: dict[str, str] = {}  # output -> node, by the name that ``after`` uses
    counted = iter(network.nodes)
    for node in graph.node:
        if node.op_type in _QUANTIZERS:
            name = node.name or node.output[0]
            quantizers |= {name, f"node_of_{node.output[0]}", *node.output}
        else:
            name = next(counted).name
            # a node without a name is called so by TensorRT's parser
            for alias in (*(f"node_of_{o}" for o in node.output), *node.output):
                lookup.setdefault(alias, name)
        own.update((output, name) for output in node.output)
    return Source(
        network=network,
        lookup={k: v for k, v in lookup.items() if k not in quantizers},
        quantizers=frozenset(quantizers),
        constants=frozenset(constants),
        after=_after(graph, own),
        asked=_asked(graph, own),
    )


def _after(graph: Any, own: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for node in graph.node:
        if not node.output:
            continue
        for name in node.input:
            if name in own:
                found.setdefault(own[name], {})[own[node.output[0]]] = None
    return {name: tuple(readers) for name, readers in found.items()}


def _asked(graph: Any, own: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Convolutions and products whose first two operands come from DequantizeLinear, and the names
    of the quantizer before the first."""
    maker = {name: node for node in graph.node for name in node.output}

    def dequantizer(name: str) -> Any:
        node = maker.get(name)
        while node is not None and node.op_type in _VIEWS:
            node = maker.get(node.input[0])
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    found = {}
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and len(node.input) > 1:
            data, weight = map(dequantizer, node.input[:2])
            if data is not None and weight is not None:
                before = maker.get(data.input[0])
                names = () if before is None else (before.name, *before.output)
                found[own[node.output[0]]] = frozenset(names)
    return found
