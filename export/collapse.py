"""Where quantisation loses the image: the quantised tensors beside the float ones, layer by layer.

The quantised model is run as it is written, in float between the roundings, so that the fault is
found whatever runtime showed it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.export.checks import MIN_CENTRED_COSINE, MIN_SPREAD, spread
from edgereid.export.graph import Graph
from edgereid.export.parity import cosines
from edgereid.export.probe import activations, begins

Floats = NDArray[np.float32]
IMAGES = 16


def lost(quantised: Floats, reference: Floats) -> bool:
    """Whether rows (N, values) no longer say of images what the float network's say."""
    if quantised.shape != reference.shape or not np.isfinite(quantised).all():
        return True
    mean, width = reference.mean(axis=0), spread(reference)
    if width <= 1e-9 * float(np.abs(reference).max(initial=0.0)):
        return False  # it told nothing before
    centred = float(cosines(quantised - mean, reference - mean).mean())
    return spread(quantised) < MIN_SPREAD * width or centred < MIN_CENTRED_COSINE


def collapse_begins(model: Any, quantised: Any, images: Floats, threads: int) -> str:
    """In words, the layer of the float ``model`` from which on the ``quantised`` one loses the
    image; images (N, 3, H, W), of which the first ``IMAGES`` are used."""
    graph, images = Graph(model), images[:IMAGES]
    names = set(graph.producer)
    rounded = {f"{name}/dq": name for name in (*names, graph.input)}
    reference = {graph.input: images.reshape(len(images), -1)}
    reference |= dict(activations(model, images, names, len(images), threads))
    bad = set()
    for name, rows in activations(quantised, images, names | set(rounded), len(images), threads):
        if (own := rounded.get(name, name)) in reference and lost(rows, reference[own]):
            bad.add(name)
    node = begins(graph, bad.__contains__, model.graph.output[0].name)
    if not node:
        return "no layer of the Q/DQ model loses it: what runs the engine does"
    inputs = next(list(n.input) for n in graph.nodes if n.name == node)
    coarse = [n for n in inputs if f"{n}/dq" in bad]
    return f"it begins at {node}" + (
        f", whose input {coarse[0]} is lost in rounding" if coarse else ""
    )
