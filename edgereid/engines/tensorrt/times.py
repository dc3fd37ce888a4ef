"""Where the time of one run goes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from edgereid.engines.tensorrt.cuda import Cuda

#: Marks on the stream: before and after each of copy in, compute, copy out.
MARKS = 4


@dataclass(frozen=True, slots=True)
class RunTimes:
    """One run of an engine, in microseconds, summed over the launches that it took.

    ``copy_in``, ``compute`` and ``copy_out`` are the GPU's own times, between CUDA events on the
    stream, which have a resolution of about 0.5 us. ``enqueue`` is the host's time to hand the
    network, or its CUDA graph, to the GPU. Copying between the caller's arrays and pinned memory is
    in none of them.
    """

    copy_in: float = 0.0
    compute: float = 0.0
    copy_out: float = 0.0
    enqueue: float = 0.0
    launches: int = 0


class Stopwatch:
    """Takes the times of the launches of one run after another, by CUDA events."""

    def __init__(self, cuda: Cuda, stream: Any, stack: ExitStack) -> None:
        self._cuda, self._stream = cuda, stream
        self._events = [cuda.event(stack) for _ in range(MARKS)]
        self.times = RunTimes()

    def mark(self, index: int) -> None:
        """Note when the stream gets here."""
        self._cuda.call("cudaEventRecord", self._events[index], self._stream)

    def add(self, enqueue_ns: int) -> None:
        """Add a launch whose marks have all been reached."""
        copy_in, compute, copy_out = (
            1e3 * float(self._cuda.call("cudaEventElapsedTime", a, b))
            for a, b in zip(self._events, self._events[1:], strict=False)
        )
        t = self.times
        self.times = RunTimes(
            t.copy_in + copy_in,
            t.compute + compute,
            t.copy_out + copy_out,
            t.enqueue + enqueue_ns / 1e3,
            t.launches + 1,
        )
