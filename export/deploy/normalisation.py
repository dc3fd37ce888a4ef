"""Mean and std where a host knows one scale for all channels, and inside the graph.

Ours is ``(x / 255 - mean) / std`` a channel, x from 0 to 255. A host such as DeepStream computes
``factor * (x - offset)`` with an offset a channel but one factor: the same only where the three std
are equal. Otherwise the graph takes the pixels themselves (``fold``), or every channel's scale is a
little wrong (``approximate``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgereid.errors import InputError
from edgereid.images import Preprocessing

PIXELS = "pixels"


@dataclass(frozen=True, slots=True)
class Scaling:
    """``factor * (x - offsets)``, x from 0 to 255, channels in the network's order; ``error``: how
    far the factor is from the right one in the worst channel, as a fraction."""

    factor: float
    offsets: tuple[float, float, float]
    error: float = 0.0


#: The network takes the pixels as they are.
IDENTITY = Scaling(1.0, (0.0, 0.0, 0.0))


def one_factor(preprocessing: Preprocessing) -> Scaling:
    """The factor whose worst channel is least wrong: exact where the std are equal.

    A channel's own factor is 1 / (255 std), so with ``2 / (255 (min + max))`` the channels of the
    smallest and the largest std are equally far off, by ``(max - min) / (max + min)``.
    """
    low, high = min(preprocessing.std), max(preprocessing.std)
    red, green, blue = (255.0 * m for m in preprocessing.mean)
    return Scaling(2.0 / (255.0 * (low + high)), (red, green, blue), (high - low) / (high + low))


def fold_normalisation(model: Any, preprocessing: Preprocessing) -> Any:
    """A copy of an onnx.ModelProto that takes ``pixels`` (N, 3, H, W), float32 from 0 to 255 with
    the channels in the network's order, in place of normalised images.

    Multiplies and adds the very float32 numbers that ``edgereid.images.normalise`` does, so the
    network behind gets the same bits. The names in the network stay as they are. Raises InputError
    when it already has a tensor of that name.
    """
    import onnx
    from onnx import helper, numpy_helper

    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    weights = {i.name for i in graph.initializer}
    (image,) = (i for i in graph.input if i.name not in weights)
    made = {name for node in graph.node for name in node.output}
    names = [f"{PIXELS}{part}" for part in ("", ".scale", ".shift", ".scaled")]
    if taken := sorted({*made, *weights, image.name} & set(names)):
        raise InputError(
            f"the network has a tensor {taken[0]!r} already: its normalisation cannot be folded, "
            "or was folded before."
        )
    mean, std = np.asarray(preprocessing.mean), np.asarray(preprocessing.std)
    values = ((1.0 / (255.0 * std)).astype(np.float32), (-mean / std).astype(np.float32))
    for name, value in zip(names[1:3], values, strict=True):
        graph.initializer.append(numpy_helper.from_array(value.reshape(1, 3, 1, 1), name))
    front = [
        helper.make_node("Mul", [PIXELS, names[1]], [names[3]], name="normalise/Mul"),
        helper.make_node("Add", [names[3], names[2]], [image.name], name="normalise/Add"),
    ]
    nodes = [*front, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    image.name = PIXELS
    return folded
