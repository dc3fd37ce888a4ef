"""Looks at every tensor inside a network, in bounded memory, to find the layer where a fault
begins: NaN, embeddings that no longer depend on the image, or a batch that mixes its images.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.session import open_session
from edgereid.export.graph import Graph

Floats = NDArray[np.float32]
_BUDGET = 256 * 2**20  # bytes of the tensors that one run returns
_LARGEST = 4 * 2**20  # assumed values an image where the shape is not known


def float_tensors(graph: Graph) -> list[str]:
    """The tensors that nodes compute and that hold float32, in the graph's order."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(graph.model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}
    produced = [name for node in graph.nodes for name in node.output if name]
    return [name for name in produced if types.get(name) == onnx.TensorProto.FLOAT]


def activations(
    model: Any, images: Floats, tensors: Collection[str], batch: int, threads: int
) -> Iterator[tuple[str, Floats]]:
    """Each tensor over all images: (name, (N, values of one image)), in the graph's order.

    Tensors that have no row for each image are left out. The model is run once for each group of
    tensors that fits into memory, ``batch`` images at a time; N must be a multiple of it.
    """
    graph = Graph(model)
    for group in _groups(graph, [t for t in float_tensors(graph) if t in tensors], len(images)):
        session = _session(model, group, threads)
        parts: dict[str, list[Floats]] = {name: [] for name in group}
        for start in range(0, len(images), batch):
            values = session.run(group, {graph.input: images[start : start + batch]})
            for name, value in zip(group, values, strict=True):
                if value.ndim > 1 and len(value) == batch:
                    parts[name].append(value.reshape(batch, -1))
        for name in group:
            if parts[name]:
                yield name, np.concatenate(parts.pop(name))


def _groups(graph: Graph, tensors: list[str], images: int) -> Iterator[list[str]]:
    group: list[str] = []
    used = 0
    for name in tensors:
        shape = graph.shapes.get(name)
        known = shape is not None and None not in shape[1:]
        values = math.prod(d or 1 for d in (shape or ())[1:]) if known else _LARGEST
        if group and used + 4 * values * images > _BUDGET:
            yield group
            group, used = [], 0
        group.append(name)
        used += 4 * values * images
    if group:
        yield group


def _session(model: Any, tensors: list[str], threads: int) -> Any:
    from onnx import ValueInfoProto

    asked = copy.deepcopy(model)
    del asked.graph.output[:]
    asked.graph.output.extend(ValueInfoProto(name=name) for name in tensors)
    return open_session(asked, threads)


def spread_of(rows: Floats) -> float:
    """How far the rows lie from their mean, relative to their length; 0: all are the same."""
    x = rows.astype(np.float64)
    size = float(np.sqrt((x**2).sum(axis=1).mean()))
    return float(np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean())) / max(size, 1e-300)


def begins(graph: Graph, bad: Callable[[str], bool], output: str) -> str:
    """The first node on the way to ``output`` that gives a bad tensor and reads none: where the
    fault begins. Follows bad tensors back from the output; empty when that one is good."""
    first: set[str] = set()
    waiting, seen = [output], set()
    while waiting:
        name = waiting.pop()
        node = graph.producer.get(name)
        if name in seen or node is None or not bad(name):
            continue
        seen.add(name)
        before = [n for n in node.input if n in graph.producer and bad(n)]
        waiting += before
        if not before:
            first.add(node.name)
    return next((str(node.name) for node in graph.nodes if node.name in first), "")


def not_finite(model: Any, images: Floats, output: str, batch: int, threads: int) -> str:
    """The node from which on tensors hold NaN or infinity."""
    graph = Graph(model)
    found = {
        name
        for name, rows in activations(model, images, set(graph.producer), batch, threads)
        if not np.isfinite(rows).all()
    }
    return begins(graph, found.__contains__, output)


def constant_from(
    model: Any, images: Floats, output: str, batch: int, threads: int, least: float
) -> str:
    """The node from which on tensors vary between images by less than ``least`` of their size."""
    graph = Graph(model)
    spreads = {
        name: spread_of(rows)
        for name, rows in activations(model, images, set(graph.producer), batch, threads)
    }
    return begins(graph, lambda name: spreads.get(name, 1.0) < least, output)
