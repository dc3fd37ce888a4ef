"""Runs a float network over images and counts what its tensors hold, in bounded memory.

The tensors become extra outputs of the ONNX model. Every image is a run of its own, whatever the
batches that it comes in: so its activations, to the last bit, depend neither on its neighbours nor
on how the images were split. A few images run at once, each on its share of the threads and into
histograms of its own, which are merged exactly; only their activations are in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.histogram import Histogram, merge_shards
from edgereid.calibration.session import add_outputs, open_session
from edgereid.errors import InputError

#: Images that are decoded together.
BATCH = 4
#: Images that run at once; all the activations of each are in memory.
MOST_AT_ONCE = 4


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
    at_once, each = shared_out(threads)
    session = open_session(model, each)
    del model
    free: SimpleQueue[dict[str, Histogram]] = SimpleQueue()
    for _ in range(at_once):
        free.put({name: Histogram(name) for name in tensors})

    def count(image: NDArray[np.float32]) -> None:
        histograms = free.get()
        try:
            if source in histograms:
                histograms[source].add(image)
            # In the graph's order, so that the first tensor with NaN is the one that is named.
            values = session.run(order, {source: image}) if order else []  # of no names: all
            for name, value in zip(order, values, strict=True):
                histograms[name].add(value)
        finally:
            free.put(histograms)

    images = (image for batch in batches if len(batch) for image in np.split(batch, len(batch)))
    if not _each(count, images, at_once):
        raise InputError("no calibration image was given: at least one is needed.")
    return merge_shards(free.get() for _ in range(at_once))


def shared_out(threads: int) -> tuple[int, int]:
    """How many images to run at once, and with how many threads each: six are three pairs."""
    each = -(-threads // MOST_AT_ONCE)
    return threads // each, each


def _each(
    act: Callable[[NDArray[np.float32]], None], images: Iterable[NDArray[np.float32]], at_once: int
) -> int:
    """``act`` on all images, some at once, and how many they were; of errors the first image's is
    raised. As many images again are read ahead."""
    waiting: deque[Future[None]] = deque()
    seen = 0
    with ThreadPoolExecutor(at_once) as pool:  # running and counting release the interpreter
        for image in images:
            waiting.append(pool.submit(act, image))
            seen += 1
            if len(waiting) >= 2 * at_once:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()
    return seen
