"""TensorRT on an NVIDIA GPU: ``.plan`` and ``.engine`` files, built on the device itself.

Written against the names and signatures of TensorRT 8.6 to 11.4 and tested with fakes of them; no
line of it has run on a GPU. ``docs/engines.md`` says what that leaves open.
"""

from __future__ import annotations

import importlib
import threading
import weakref
from contextlib import ExitStack, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.base import Engine, EngineInfo, EngineOptions
from edgereid.engines.tensorrt.cuda import Cuda, CudaError, Device, find_device, load_cuda
from edgereid.engines.tensorrt.graphs import Graphs
from edgereid.engines.tensorrt.lane import Session
from edgereid.engines.tensorrt.lanes import Lanes
from edgereid.engines.tensorrt.logger import Log
from edgereid.engines.tensorrt.plan import PlanFile, load_engine, new_runtime, read_plan
from edgereid.engines.tensorrt.profiles import Launch, launches
from edgereid.engines.tensorrt.tensors import profiles_of, signature_of
from edgereid.engines.tensorrt.times import RunTimes, Stopwatch
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import UsageError


class TensorRTEngine(Engine):
    """A plan in TensorRT.

    A batch above the largest profile's maximum is split, one below its minimum is filled up with
    its last image; neither shows in the result. ``info.precision`` is what the bundle's manifest
    says, "unknown" without one: a plan does not tell.
    """

    def __init__(self, path: Path, options: EngineOptions) -> None:
        trt = importlib.import_module("tensorrt")
        cuda = load_cuda()
        device = find_device(cuda)
        plan = read_plan(path)
        with runtime_errors(f"TensorRT cannot open {path}"), ExitStack() as stack:
            self._open(trt, cuda, plan, device, options, stack)
            self._stack = stack.pop_all()
        # Of an engine that nobody closed, too, nothing may stay on the GPU.
        self._finalizer = weakref.finalize(self, _close_unheard, self._stack)
        self._device = device
        self._busy = threading.Lock()
        self._thread = threading.get_ident()
        self._watch: Stopwatch | None = None
        self._lost = False  # the GPU reported an error that freeing would only repeat
        super().__init__()

    def _open(
        self,
        trt: Any,
        cuda: Cuda,
        plan: PlanFile,
        device: Device,
        options: EngineOptions,
        stack: ExitStack,
    ) -> None:
        """Load the plan and make the first lane; ``stack`` frees what was made so far."""
        log = Log(trt)
        self._runtime = new_runtime(trt, log, code_allowed=plan.vouched or options.trust)
        engine = load_engine(trt, self._runtime, log, plan, device)
        signature = signature_of(trt, engine)
        self.inputs, self.outputs = signature.inputs, signature.outputs
        taken, given = signature.tensors()
        profiles = profiles_of(engine, self.inputs[0])
        self._launches = lru_cache(maxsize=64)(partial(launches, profiles))
        graphs = Graphs(options.cuda_graph)
        size = _scratch_bytes(engine)
        stream = cuda.stream(stack)
        scratch = cuda.device_memory(stack, size)
        self._session = Session(
            trt, cuda, log, engine, stream, (scratch, size), graphs, taken, given
        )
        self._lanes = Lanes(self._session)
        stack.callback(self._lanes.close)
        smallest = min(profiles, key=lambda p: p.minimum[0])
        self._lanes.get(Launch(smallest.index, 0, smallest.minimum[0], smallest.minimum))
        self.info = EngineInfo(
            runtime="tensorrt",
            precision=plan.precision,
            threads=1,  # of the processor: one drives the GPU
            version=str(trt.__version__),
            details={
                "device": device.name,
                "compute_capability": device.compute_capability,
                "device_memory_bytes": size,
                "profiles": [
                    {"min": list(p.minimum), "opt": list(p.optimum), "max": list(p.maximum)}
                    for p in profiles
                ],
                "cuda_graph": graphs.report,
                "plan_header_version": plan.header.version_text,
                "cuda_bindings": cuda.module,
            },
        )

    def timed_run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], RunTimes]:
        """``run`` with the times of its parts by CUDA events; see ``RunTimes``. Taking them costs
        some microseconds a launch, which ``run`` does without."""
        if self._closed:
            raise UsageError("the engine is closed: open it again.")
        with ExitStack() as stack:
            session = self._session
            self._watch = Stopwatch(session.cuda, session.stream, stack)
            try:
                out = self.run(batch)
                return out, self._watch.times
            finally:
                self._watch = None

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self._busy.acquire(blocking=False):
            raise UsageError("another thread is running this engine: open one engine a thread.")
        try:
            self._to_this_thread()
            self._session.log.clear()
            parts = [
                self._lanes.get(x).run(batch[x.start : x.start + x.count], self._watch)
                for x in self._launches(batch.shape)
            ]
        except CudaError:
            self._lost = True
            raise
        finally:
            self._busy.release()
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _to_this_thread(self) -> None:
        """CUDA keeps the device in use per thread."""
        if threading.get_ident() != self._thread:
            self._session.cuda.call("cudaSetDevice", self._device.index)
            self._thread = threading.get_ident()

    def _release(self) -> None:
        self._finalizer.detach()
        try:
            with self._busy:
                self._to_this_thread()
                self._stack.close()
        except CudaError as error:
            if not self._lost:
                with runtime_errors("closing the tensorrt engine failed"):
                    raise error
        finally:
            # TensorRT wants its contexts gone before the engine, the engine before the runtime.
            del self._lanes, self._session
            del self._runtime


def _close_unheard(stack: ExitStack) -> None:
    """Free what an abandoned engine held; there is nobody to tell of an error."""
    with suppress(CudaError):
        stack.close()


def _scratch_bytes(engine: Any) -> int:
    """The memory that a context works in, for every profile. 10 has both names, 11 the new one."""
    if hasattr(engine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)
