"""One execution context with its buffers, set to one shape, and the CUDA graph captured for it.

NVIDIA's developer guide (CUDA Graphs) asks for one context a captured graph, for changing that
context is undefined behaviour of the graph; for a run in the new shape before a capture; and lets
contexts that never run at the same time share their scratch memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.tensorrt.cuda import Cuda, CudaError, Pair
from edgereid.engines.tensorrt.graphs import Graphs, capture, same
from edgereid.engines.tensorrt.logger import Log, TensorRTError
from edgereid.engines.tensorrt.profiles import Launch, Shape
from edgereid.engines.tensorrt.tensors import Tensor
from edgereid.engines.tensorrt.times import Stopwatch

#: A capture needs a run in the shape before it; only a shape that comes back is worth one.
CAPTURED_AFTER = 2


@dataclass(frozen=True, slots=True)
class Session:
    """What all lanes of an engine share. ``scratch``: address and bytes of the memory that the
    layers work in."""

    trt: Any
    cuda: Cuda
    log: Log
    engine: Any
    stream: Any
    scratch: tuple[int, int]
    graphs: Graphs
    taken: Tensor
    given: Tensor

    def synchronize(self) -> None:
        """Wait for the GPU; what failed there shows here, as a CudaError."""
        self.cuda.call("cudaStreamSynchronize", self.stream)

    def require(self, done: Any) -> None:
        """Raise TensorRTError unless TensorRT says that it did what was asked."""
        if not done:
            raise TensorRTError(self.log.reason())


class ProfileTakenError(TensorRTError):
    """No further context can have the profile: before TensorRT 9 each belongs to one context."""


class Lane:
    """A context, its buffers and its graph; ``close`` frees them."""

    def __init__(self, session: Session, profile: int) -> None:
        """Raises ProfileTakenError when the context cannot have the profile."""
        self._session = session
        self._buffers = ExitStack()
        self._graph: Any = None
        self._tried = False  # the graph was found to give what the direct run gives
        self._ready: tuple[int, Shape] | None = None
        self._runs = 0
        self._context = _new_context(session)
        try:
            if not self._choose(profile):
                raise ProfileTakenError(session.log.reason())
        except BaseException:
            self.close()
            raise

    @property
    def profile(self) -> int:
        """The profile its context has."""
        return int(self._context.active_optimization_profile)

    def is_for(self, launch: Launch) -> bool:
        """Whether it is set to the profile and the shape of ``launch``."""
        return self._ready == (launch.profile, launch.shape)

    def set_to(self, launch: Launch) -> None:
        """Set profile and shape, with new buffers. Raises TensorRTError, CudaError."""
        self._clear()
        session, context = self._session, self._context
        session.require(self._choose(launch.profile))
        session.require(context.set_input_shape(session.taken.name, launch.shape))
        unknown = context.infer_shapes()
        given = tuple(int(n) for n in context.get_tensor_shape(session.given.name))
        if unknown or min(given, default=0) < 0 or given[:1] != launch.shape[:1]:
            raise TensorRTError(f"it gives {given} for a batch of {launch.shape[0]}")
        self._images = self._allocate(session.taken, launch.shape)
        self._embeddings = self._allocate(session.given, given)
        self._ready = (launch.profile, launch.shape)

    def run(self, images: NDArray[Any], watch: Stopwatch | None) -> NDArray[Any]:
        """The embeddings of ``images``, at most a batch of them, in a new array.

        The rest of the batch is filled with the last image; what comes of it is cut off.
        """
        count = len(images)
        self._images.array[:count] = images
        self._images.array[count:] = images[-1]
        enqueue_ns = self._pass(watch.mark if watch is not None else _no_mark)
        if watch is not None:
            watch.add(enqueue_ns)
        out = np.array(self._embeddings.array[:count])
        self._runs += 1
        if self._runs == CAPTURED_AFTER and self._session.graphs.wanted:
            self._capture()
        return out

    def _pass(self, mark: Callable[[int], None]) -> int:
        """From pinned memory to pinned memory; the host's time to enqueue, in nanoseconds."""
        cuda, stream = self._session.cuda, self._session.stream
        mark(0)
        cuda.upload(self._images, stream)
        mark(1)
        start = time.perf_counter_ns()
        if self._graph is not None:
            cuda.call("cudaGraphLaunch", self._graph, stream)
        else:
            self._enqueue()
        enqueue_ns = time.perf_counter_ns() - start
        mark(2)
        cuda.download(self._embeddings, stream)
        mark(3)
        self._session.synchronize()
        return enqueue_ns

    def _enqueue(self) -> None:
        session = self._session
        session.require(self._context.execute_async_v3(int(session.stream)))

    def _capture(self) -> None:
        """Capture, and try the graph on the images of the run before: it must give the same, and
        give it anew. Otherwise this engine does without."""
        session, result = self._session, self._embeddings.array
        direct = np.array(result)
        try:
            self._graph = capture(session.cuda, session.stream, self._enqueue)
            result.fill(0)
            session.cuda.upload(self._embeddings, session.stream)  # nothing of the run before
            self._pass(_no_mark)
            failure = None if same(result, direct) else "its replay gives something else"
        except (CudaError, TensorRTError) as error:
            failure = str(error)
        if failure is None:
            self._tried = True
            session.graphs.captured(len(direct))
        else:
            self._drop_graph()
            session.graphs.give_up(failure)

    def _choose(self, profile: int) -> bool:
        """Give the context the profile; False when it cannot have it."""
        if self.profile == profile:
            return True
        session = self._session
        done = self._context.set_optimization_profile_async(profile, int(session.stream))
        session.synchronize()
        return bool(done)

    def _allocate(self, tensor: Tensor, shape: Shape) -> Pair:
        pair = self._session.cuda.pair(self._buffers, shape, tensor.dtype)
        self._session.require(self._context.set_tensor_address(tensor.name, pair.device))
        return pair

    def _drop_graph(self) -> None:
        (graph, self._graph), (tried, self._tried) = (self._graph, None), (self._tried, False)
        if tried:
            self._session.graphs.dropped(len(self._images.array))
        if graph is not None:
            self._session.cuda.call("cudaGraphExecDestroy", graph)

    def _clear(self) -> None:
        """Without graph, shape and buffers."""
        self._ready, self._runs = None, 0
        # What a failed run left in the stream goes first, the buffers that it uses last.
        self._buffers.callback(self._drop_graph)
        self._buffers.callback(self._session.synchronize)
        self._buffers.close()

    def close(self) -> None:
        """Free the graph, the buffers and the context, in this order."""
        try:
            self._clear()
        finally:
            self._context = None


def _no_mark(index: int) -> None:
    """For runs that are not timed."""


def _new_context(session: Session) -> Any:
    """A context that works in the scratch memory of the session. Raises TensorRTError."""
    trt, engine = session.trt, session.engine
    address, size = session.scratch
    session.log.clear()
    if hasattr(trt, "ExecutionContextAllocationStrategy"):  # from 10 on
        own = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = engine.create_execution_context(own)
    else:
        context = engine.create_execution_context_without_device_memory()
    session.require(context is not None)
    if hasattr(context, "set_device_memory"):
        context.set_device_memory(address, size)
    else:
        context.device_memory = address
    return context
