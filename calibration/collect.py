"""Runs a float network over images and counts what its tensors hold, in bounded memory.

The tensors become extra outputs of the ONNX model. Every image is a run of its own, whatever the
batches that it comes in: so its activations, to the last bit, depend neither on its neighbours nor
on how the images were split, and those of one image at a time are in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.histogram import Histogram
from edgereid.calibration.session import add_outputs, open_session
from edgereid.errors import InputError

#: Images that are decoded together.
BATCH = 4


def collect(
    path: Path,
    batches: Iterable[NDArray[np.float32]],
    tensors: Collection[str],
    *,
    threads: int,
) -> dict[str, Histogram]:
    """Histograms of ``tensors`` (activations or the input) over all batches (N, 3, H, W) float32.

    One pass serves every method of ``edgereid.calibration.thresholds``; the passes over parts of
    the images, merged by ``merge_shards``, are the pass over all. Raises InputError that names the
    first tensor, in the order of the graph, that holds NaN or infinity; InputError when there is
    no batch.
    """
    import onnx

    model = onnx.load(str(path))
    source = model.graph.input[0].name
    order = add_outputs(model, set(tensors), str(path))
    histograms = {name: Histogram(name) for name in tensors}
    session = open_session(model, threads)
    del model
    seen = 0
    with ThreadPoolExecutor(threads) as pool:  # counting releases the interpreter
        for batch in batches:
            for image in np.split(batch, len(batch)) if len(batch) else ():
                if source in histograms:
                    histograms[source].add(image)
                values = session.run(order, {source: image})
                # In the graph's order, so that the first tensor with NaN is the one that is named.
                for _ in pool.map(lambda name, value: histograms[name].add(value), order, values):
                    pass
            seen += len(batch)
    if not seen:
        raise InputError("no calibration image was given: at least one is needed.")
    return histograms
