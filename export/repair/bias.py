"""Bias correction: the mean that quantisation adds to every channel is taken off its bias.

Empirical and sequential, as in Nagel et al., "Data-Free Quantization Through Weight Equalization
and Bias Correction" (2019), section 4.2 and appendix D: each layer is corrected on what the layers
before it give after their own correction. The correction is computed inside the graph, so one run
of a batch corrects all layers in their order; several batches give the mean of theirs. Nothing
but a vector a layer leaves a run.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.session import open_session
from edgereid.errors import InputError
from edgereid.export.graph import Graph, attribute
from edgereid.export.incoming.edit import names_of, unique
from edgereid.export.repair.channels import reduce_to_channels
from edgereid.export.repair.layers import Layer

#: Images whose mean is matched in one run: enough for a mean, few enough to be in memory together.
BATCH = 32
_MEAN, _WANT, _SHIFT = "/mean", "/wanted-mean", "/shift"


def correctable(layers: Sequence[Layer], constants: Collection[str]) -> list[Layer]:
    """The layers that have, or can be given, a bias of their own; one that is computed is none."""
    return [
        layer
        for layer in layers
        if (layer.node.op_type == "Conv" or (layer.node.op_type == "Gemm" and _plain(layer.node)))
        and all(name in constants for name in layer.node.input[2:] if name)
    ]


def _plain(gemm: Any) -> bool:
    """Whether a Gemm's bias is a vector that is added as it is."""
    return all(a.f == 1.0 for a in gemm.attribute if a.name == "beta")


def bias_shifts(
    model: Any,
    quantised: Any,
    layers: Sequence[Layer],
    images: NDArray[np.float32],
    threads: int,
) -> dict[str, NDArray[np.float32]]:
    """Node name -> what has to be added to its bias (float32, by channel), given or not.

    ``quantised`` is the Q/DQ model of the float ``model``, node names alike; ``layers`` those of
    the float model to correct; ``images`` (N, 3, H, W).
    """
    graph = Graph(model)
    source = graph.input
    layers = correctable(layers, graph.weights)
    names = {layer.node.name: layer.output for layer in layers}
    plain = open_session(_with_means(model, names), threads)
    corrected = open_session(_with_corrections(quantised, names), threads)
    means = [out + _MEAN for out in names.values()]
    total = {name: np.zeros(1) for name in names}
    batches = _batches(images, graph.shapes[source][0])
    for batch in batches:
        wanted = dict(zip(means, plain.run(means, {source: batch}), strict=True))
        feed = {source: batch} | {
            out + _WANT: wanted[out + _MEAN].astype(np.float32) for out in names.values()
        }
        found = corrected.run([out + _SHIFT for out in names.values()], feed)
        for name, shift in zip(names, found, strict=True):
            total[name] = total[name] + shift.astype(np.float64)
    return {n: (t / len(batches)).astype(np.float32) for n, t in total.items()}


def _batches(images: NDArray[np.float32], fixed: int | None) -> list[NDArray[np.float32]]:
    """Equal batches, so that their mean is that of the images; ``fixed``: the network's own batch
    size. A rest that fills no batch is left out, unless it is all there is."""
    size = fixed or BATCH
    whole = len(images) // size
    return np.split(images[: whole * size], whole) if whole else [images]


def _rank(node: Any, weights: Mapping[str, Any]) -> int:
    return 2 if node.op_type == "Gemm" else len(weights[node.input[1]].dims)


def _with_means(model: Any, names: Mapping[str, str]) -> Any:
    """The model that returns, in place of its features, the channel means of layers' outputs."""
    from onnx import helper

    changed = copy.deepcopy(model)
    weights = {i.name: i for i in changed.graph.initializer}
    del changed.graph.output[:]
    for node in list(changed.graph.node):
        if node.name in names:
            out = node.output[0]
            rank = _rank(node, weights)
            changed.graph.node.extend(
                reduce_to_channels(changed, "ReduceMean", out, rank, out + _MEAN)
            )
            changed.graph.output.append(helper.make_tensor_value_info(out + _MEAN, 1, None))
    return changed


def _with_corrections(quantised: Any, names: Mapping[str, str]) -> Any:
    """The Q/DQ model in which each layer's output has the mean that it is told: the input
    ``OUTPUT/wanted-mean``; the output ``OUTPUT/shift`` is what was added."""
    from onnx import helper, numpy_helper

    changed = copy.deepcopy(quantised)
    made = {name: node for node in changed.graph.node for name in node.output}
    stored = {i.name: i for i in changed.graph.initializer}
    nodes: list[Any] = []
    del changed.graph.output[:]
    for node in changed.graph.node:
        nodes.append(node)
        if node.name not in names:
            continue
        out = node.output[0]
        dims = stored[made[node.input[1]].input[0]].dims
        rank = 2 if node.op_type == "Gemm" else len(dims)
        shape = numpy_helper.from_array(np.array([1, -1, *[1] * (rank - 2)]), f"{out}/shape")
        changed.graph.initializer.append(shape)
        changed.graph.input.append(helper.make_tensor_value_info(out + _WANT, 1, [None]))
        changed.graph.output.append(helper.make_tensor_value_info(out + _SHIFT, 1, [None]))
        node.output[0] = f"{out}/raw"
        nodes += reduce_to_channels(changed, "ReduceMean", f"{out}/raw", rank, out + _MEAN)
        nodes += [
            helper.make_node("Sub", [out + _WANT, out + _MEAN], [out + _SHIFT]),
            helper.make_node("Reshape", [out + _SHIFT, f"{out}/shape"], [f"{out}/shift4"]),
            helper.make_node("Add", [f"{out}/raw", f"{out}/shift4"], [out]),
        ]
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    return changed


def with_shifted_biases(model: Any, shifts: Mapping[str, NDArray[np.float32]]) -> Any:
    """A copy of ``model`` in which the biases of the nodes named in ``shifts`` are changed by so
    much. Every changed bias becomes an initializer of its node's own. Raises InputError for a
    number of channels that is not the node's."""
    from onnx import numpy_helper

    changed = copy.deepcopy(model)
    weights, taken = Graph(model).weights, names_of(model)
    added = []
    for node in changed.graph.node:
        if node.name not in shifts:
            continue
        old = node.input[2] if len(node.input) > 2 else ""
        shift, channels = shifts[node.name], _channels(node, weights)
        if shift.shape != (channels,):
            raise InputError(
                f"the bias of node {node.name!r} is changed by {shift.shape} numbers; it has "
                f"{channels} channels: the repairs are of another model."
            )
        bias = shift + (weights[old] if old else np.float32(0))
        name = unique(f"{node.output[0]}/bias", taken)
        added.append(numpy_helper.from_array(np.asarray(bias, dtype=np.float32), name))
        node.input[:] = [*node.input[:2], name]
    read = {name for node in changed.graph.node for name in node.input}
    kept = [i for i in changed.graph.initializer if i.name in read]
    del changed.graph.initializer[:]
    changed.graph.initializer.extend([*kept, *added])
    return changed


def _channels(node: Any, weights: Mapping[str, NDArray[Any]]) -> int:
    """Output channels of a Conv or Gemm."""
    axis = 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1
    return int(weights[node.input[1]].shape[axis])
