"""Cross-layer equalisation: the channels between two convolutions are scaled to fit one grid.

Where nothing but ReLU and pooling lies between two convolutions and nobody else reads it, channel c
may be divided by s_c > 0 in the first and multiplied by it in the second: the network computes
the same (Nagel et al. 2019, section 4.1). Weights have a scale per output channel here, so unlike
there the scales follow what the channels hold. Before a depthwise convolution every channel gets
the same range: that is a scale per channel for the activations, at no cost. Before any other, half
of the difficulty goes to its weights: s_c = sqrt(max|x_c| / max|w_c|) (SmoothQuant, Xiao et al.
2022, equation 4 with alpha 0.5).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.session import open_session
from edgereid.export.graph import Graph, attribute
from edgereid.export.repair.channels import reduce_to_channels

_COMMUTES = ("Relu", "MaxPool", "AveragePool")  # with a positive factor a channel
_MOST = 64.0  # no channel is scaled by more than this against the typical one
_PEAK = "/channel-peak"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two convolutions of an ONNX graph; ``between`` is the tensor that the second one reads."""

    first: Any
    second: Any
    between: str

    @property
    def groups(self) -> int:
        """Of the second."""
        return attribute(self.second, "group", 1)


def find_pairs(graph: Graph) -> list[Pair]:
    """The pairs that can be equalised, in the graph's order."""
    finals = {o.name for o in graph.model.graph.output}
    pairs = []
    for first in graph.nodes:
        if not _own_weights(first, graph):
            continue
        tensor = first.output[0]
        while tensor not in finals and len(graph.consumers.get(tensor, ())) == 1:
            reader = graph.consumers[tensor][0]
            if reader.op_type not in _COMMUTES or len(reader.output) > 1:
                if _own_weights(reader, graph) and reader.input[0] == tensor:
                    pairs.append(Pair(first, reader, tensor))
                break
            tensor = reader.output[0]
    return pairs


def _own_weights(node: Any, graph: Graph) -> bool:
    """Whether a node is a convolution with constant weights and bias that no other node reads."""
    return node.op_type == "Conv" and all(
        name in graph.weights and len(graph.consumers[name]) == 1 for name in node.input[1:]
    )


def equalize(model: Any, images: NDArray[np.float32], threads: int) -> tuple[Any, int]:
    """A copy of an onnx.ModelProto with its pairs equalised, and their number.

    The channels' ranges are those of ``images`` (N, 3, H, W): the mean over the images of each
    one's largest magnitude.
    """
    graph = Graph(model)
    pairs = find_pairs(graph)
    changed = copy.deepcopy(model)
    weights = {i.name: i for i in changed.graph.initializer}
    if not pairs:
        return changed, 0
    for pair, peak in zip(pairs, _peaks(model, pairs, images, threads), strict=True):
        _scale(pair, peak, weights)
    return changed, len(pairs)


def _scale(pair: Pair, peak: NDArray[np.float64], weights: dict[str, Any]) -> None:
    """Scale the weights of a pair in ``weights`` (onnx.TensorProto by name), in place."""
    from onnx import numpy_helper

    def value(name: str) -> NDArray[np.float64]:
        return numpy_helper.to_array(weights[name]).astype(np.float64)

    def store(name: str, array: NDArray[np.float64]) -> None:
        changed = numpy_helper.from_array(np.asarray(array, dtype=np.float32), name)
        weights[name].CopyFrom(changed)

    second = value(pair.second.input[1])  # (O, I / groups, kh, kw)
    split = second.reshape(pair.groups, -1, *second.shape[1:])
    s = _factors(peak, split)
    for name in pair.first.input[1:]:
        array = value(name)
        store(name, array / s.reshape(-1, *[1] * (array.ndim - 1)))
    factor = s.reshape(pair.groups, 1, -1, *[1] * (second.ndim - 2))
    store(pair.second.input[1], (split * factor).reshape(second.shape))


def _factors(peak: NDArray[np.float64], split: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each channel is divided by, from its range and the second layer's weights
    (groups, O / groups, I / groups, ...). Their median is 1; dead channels stay as they are."""
    if split.shape[2] == 1:
        s = peak.copy()
    else:
        reach = np.abs(split).max(axis=(1, *range(3, split.ndim))).reshape(-1)
        s = np.sqrt(np.divide(peak, reach, out=np.zeros_like(peak), where=reach > 0))
    alive = s > 0
    if not alive.any():
        return np.ones_like(s)
    s[~alive] = typical = float(np.median(s[alive]))
    factors: NDArray[np.float64] = np.clip(s / typical, 1 / _MOST, _MOST)
    return factors


def _peaks(
    model: Any, pairs: list[Pair], images: NDArray[np.float32], threads: int
) -> list[NDArray[np.float64]]:
    """For each pair the mean over the images of max |x| by channel."""
    from onnx import helper

    watched = copy.deepcopy(model)
    del watched.graph.output[:]
    names = [pair.between + _PEAK for pair in pairs]
    for pair, name in zip(pairs, names, strict=True):
        rank = len(Graph(model).weights[pair.second.input[1]].shape)
        watched.graph.node.append(helper.make_node("Abs", [pair.between], [f"{name}/abs"]))
        watched.graph.node.extend(
            reduce_to_channels(watched, "ReduceMax", f"{name}/abs", rank, name)
        )
        watched.graph.output.append(helper.make_tensor_value_info(name, 1, None))
    session = open_session(watched, threads)
    source = watched.graph.input[0].name
    total = [np.zeros(1) for _ in names]
    for image in np.split(images, len(images)):
        found = session.run(names, {source: image})
        total = [t + f.astype(np.float64) for t, f in zip(total, found, strict=True)]
    return [t / len(images) for t in total]
