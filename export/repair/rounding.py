"""Learned rounding of a whole network, layer after layer, on what its quantised layers are given.

Memory is bounded: one image's activations and the Gram matrices of as many layers as fit into a
budget. Layers that do not fit together take another pass, which then sees the earlier ones rounded.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.session import add_outputs, open_session
from edgereid.export.graph import Graph
from edgereid.export.repair.layers import Layer
from edgereid.export.repair.patches import columns
from edgereid.export.repair.reconstruct import reconstruct
from edgereid.export.weight_codes import WeightCodes

GRAM_BYTES = 1 << 28  # of double precision, for the layers of one pass
_MOST_INPUTS = 8192  # of a row: half a GiB, and the work grows with its cube
_COLUMNS_PER_INPUT = 4  # so many samples for each weight of a row, else it fits noise


def learn_codes(
    quantised: Any,
    model: Any,
    layers: Sequence[Layer],
    codes: Mapping[str, WeightCodes],
    images: NDArray[np.float32],
    threads: int,
) -> dict[str, WeightCodes]:
    """New integers on the scales of ``codes`` for every one of ``layers``; a convolution over other
    than two dimensions (channel attention) and a layer of very many inputs keep their own.

    ``quantised`` is the Q/DQ model of the float ``model`` with ``codes``; ``images`` (N, 3, H, W).
    """
    weights = Graph(model).weights
    layers = [layer for layer in layers if _suits(layer, weights[layer.weight])]
    found = dict(codes)
    current = copy.deepcopy(quantised)
    for group in _passes(layers, weights):
        grams = _grams(current, group, weights, images, threads)
        for layer in group:
            old = found[layer.weight]
            shape = weights[layer.weight].shape
            rows = layer.rows(weights[layer.weight].astype(np.float64))
            scale = old.scale.astype(np.float64).reshape(layer.groups, -1)
            levels = reconstruct(rows, scale, grams.pop(layer.weight))
            found[layer.weight] = WeightCodes(layer.unrows(levels, shape), old.scale, old.axis)
        _store(current, {layer.weight: found[layer.weight] for layer in group})
    return found


def _suits(layer: Layer, weight: NDArray[Any]) -> bool:
    plane = layer.node.op_type != "Conv" or weight.ndim == 4
    return plane and layer.rows(weight).shape[2] <= _MOST_INPUTS


def _passes(layers: Sequence[Layer], weights: Mapping[str, Any]) -> Iterator[list[Layer]]:
    group: list[Layer] = []
    used = 0
    for layer in layers:
        rows = layer.rows(weights[layer.weight])
        size = rows.shape[0] * rows.shape[2] ** 2 * 8
        if group and used + size > GRAM_BYTES:
            yield group
            group, used = [], 0
        group.append(layer)
        used += size
    if group:
        yield group


def _grams(
    quantised: Any,
    layers: Sequence[Layer],
    weights: Mapping[str, NDArray[Any]],
    images: NDArray[np.float32],
    threads: int,
) -> dict[str, NDArray[np.float64]]:
    """The sums of x x^T over columns x of what the Q/DQ model gives each layer, by weight."""
    model = copy.deepcopy(quantised)
    nodes = {node.name: node for node in model.graph.node}
    reads = {layer.weight: nodes[layer.node.name].input[0] for layer in layers}
    source = model.graph.input[0].name
    order = add_outputs(model, set(reads.values()), "the quantised model")
    session = open_session(model, threads)
    sums = {layer.weight: _Sum() for layer in layers}
    for i, image in enumerate(np.split(images, len(images))):
        values = dict(zip(order, session.run(order, {source: image}), strict=True))
        values[source] = image
        for j, layer in enumerate(layers):
            shape = weights[layer.weight].shape
            inputs = layer.rows(weights[layer.weight]).shape[2]
            count = max(64, -(-_COLUMNS_PER_INPUT * inputs // len(images)))
            rng = np.random.default_rng([i, j])
            sums[layer.weight].add(columns(layer, shape, values[reads[layer.weight]], count, rng))
    return {name: found.gram() for name, found in sums.items()}


class _Sum:
    """The sum of x x^T over columns, added up when as many wait as x has numbers: few large
    products, and what waits is no larger than the sum. In single precision: its error is far below
    the damping."""

    def __init__(self) -> None:
        self._waiting: list[NDArray[np.float32]] = []
        self._gram: NDArray[np.float32] | None = None

    def add(self, x: NDArray[np.float32]) -> None:
        """``x`` is (groups, inputs, columns)."""
        self._waiting.append(x)
        if sum(one.shape[2] for one in self._waiting) >= x.shape[1]:
            self.gram()

    def gram(self) -> NDArray[np.float64]:
        """The sum so far: (groups, inputs, inputs)."""
        if self._waiting:
            x = np.concatenate(self._waiting, axis=2)
            product = x @ x.transpose(0, 2, 1)
            self._gram = product if self._gram is None else self._gram + product
            self._waiting = []
        return np.asarray(self._gram, np.float64)


def _store(quantised: Any, codes: Mapping[str, WeightCodes]) -> None:
    """Put integers into a Q/DQ model, in place."""
    from onnx import numpy_helper

    for constant in quantised.graph.initializer:
        name = constant.name.removesuffix("/q")
        if constant.name.endswith("/q") and name in codes:
            constant.CopyFrom(numpy_helper.from_array(codes[name].integers, constant.name))
