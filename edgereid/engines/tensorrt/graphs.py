"""CUDA graphs: the launches of a network recorded once and replayed as one.

A small board's processor may hand over the kernels of a small network more slowly than the GPU runs
them; a graph takes that time off. Not every plan can be captured (parts on a DLA, loops): such a
plan runs without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.tensorrt.cuda import Cuda, CudaError
from edgereid.errors import InputError

#: How far a replay may be from the direct run, relative to its largest number. Both run the same
#: kernels; the room is for kernels that add in any order.
TOLERANCE = 1e-2


class Graphs:
    """Whether to capture, and what became of it.

    ``choice``: True always, False never, None where it works. ``report`` is kept up to date:
    ``batches`` that are replayed from a graph now, and ``without`` why graphs are not used.
    """

    def __init__(self, choice: bool | None) -> None:
        self._choice = choice
        self.report: dict[str, Any] = {"batches": [], "without": None}
        if choice is False:
            self.report["without"] = "not wanted"

    @property
    def wanted(self) -> bool:
        return self.report["without"] is None

    def captured(self, batch: int) -> None:
        """There is a graph for this batch size now."""
        self.report["batches"] = sorted([*self.report["batches"], batch])

    def dropped(self, batch: int) -> None:
        """Its graph is gone."""
        self.report["batches"].remove(batch)

    def give_up(self, reason: str) -> None:
        """Capture no more; raises InputError when graphs were asked for."""
        self.report["without"] = reason
        if self._choice:
            raise InputError(
                f"the network cannot be captured as a CUDA graph ({reason}): open it without "
                "cuda_graph."
            )


def capture(cuda: Cuda, stream: Any, enqueue: Callable[[], None]) -> Any:
    """What ``enqueue`` puts into ``stream``, as a graph that can be launched; nothing is run.

    Raises CudaError, or what ``enqueue`` raises; the stream is out of capture then.
    """
    # Thread local: what other threads of this process do with CUDA must not spoil it.
    mode = cuda.api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    cuda.call("cudaStreamBeginCapture", stream, mode)
    try:
        enqueue()
    except BaseException:
        _abandon(cuda, stream)
        raise
    graph = cuda.call("cudaStreamEndCapture", stream)
    try:
        return cuda.call("cudaGraphInstantiateWithFlags", graph, 0)
    finally:
        cuda.call("cudaGraphDestroy", graph)


def _abandon(cuda: Cuda, stream: Any) -> None:
    """Leave the capture after a failure; that it was spoiled is known already."""
    try:
        graph = cuda.call("cudaStreamEndCapture", stream)
    except CudaError:
        return
    if int(graph) != 0:
        cuda.call("cudaGraphDestroy", graph)


def same(replayed: NDArray[Any], direct: NDArray[Any]) -> bool:
    """Whether a replay gave what the direct run gave."""
    a, b = replayed.astype(np.float64), direct.astype(np.float64)
    if not (np.isfinite(a) == np.isfinite(b)).all():
        return False
    finite = np.isfinite(b)
    room = TOLERANCE * float(np.abs(b[finite]).max(initial=0.0))
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0)) <= room
