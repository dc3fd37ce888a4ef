# ruff: noqa: N802  (the real names)
"""The functions of the fake CUDA runtime, on plain numbers: ``name(gpu, *arguments)``.

Each raises CudaError for what the real one answers with an error code. RESULTS says how many values
follow the code. A name that is not here is one that the fake does not play.
"""

from __future__ import annotations

import ctypes
import types
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trt_fakes.gpu import BYTES_PER_MS, LAUNCH_MS, Capture, CudaError, Event, Gpu, Op, Stream

RESULTS = {
    "cudaMalloc": 1,
    "cudaMallocAsync": 1,
    "cudaMallocManaged": 1,
    "cudaHostAlloc": 1,
    "cudaMallocHost": 1,
    "cudaHostGetDevicePointer": 1,
    "cudaStreamCreate": 1,
    "cudaStreamCreateWithFlags": 1,
    "cudaStreamCreateWithPriority": 1,
    "cudaStreamIsCapturing": 1,
    "cudaStreamEndCapture": 1,
    "cudaEventCreate": 1,
    "cudaEventCreateWithFlags": 1,
    "cudaEventElapsedTime": 1,
    "cudaGraphInstantiate": 1,
    "cudaGraphInstantiateWithFlags": 1,
    "cudaGetDeviceCount": 1,
    "cudaGetDevice": 1,
    "cudaGetDeviceProperties": 1,
    "cudaDeviceGetAttribute": 1,
    "cudaDeviceGetPCIBusId": 1,
    "cudaDriverGetVersion": 1,
    "cudaRuntimeGetVersion": 1,
    "cudaMemGetInfo": 2,
}

HOST_KINDS = ("pinned",)
DEVICE_KINDS = ("device", "managed")
PINNED_FLAGS = 0x7
DISABLE_TIMING = 0x2
HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, ANY = range(5)


# --- memory -----------------------------------------------------------------------------------


def cudaMalloc(gpu: Gpu, size: int) -> int:
    gpu.refuse_while_capturing()
    return gpu.allocate(size)


def cudaMallocAsync(gpu: Gpu, size: int, stream: int) -> int:
    gpu.stream(stream)
    return gpu.allocate(size)


def cudaMallocManaged(gpu: Gpu, size: int, flags: int) -> int:
    gpu.refuse_while_capturing()
    return gpu.allocate(size, "managed")


def cudaFree(gpu: Gpu, address: int) -> None:
    gpu.refuse_while_capturing()
    cudaDeviceSynchronize(gpu)  # the real one waits, too
    gpu.free(address, DEVICE_KINDS)


def cudaFreeAsync(gpu: Gpu, address: int, stream: int) -> None:
    gpu.put(gpu.stream(stream), Op("free", 0.0, lambda: gpu.free(address, DEVICE_KINDS)))


def cudaHostAlloc(gpu: Gpu, size: int, flags: int) -> int:
    gpu.refuse_while_capturing()
    if flags & ~PINNED_FLAGS:
        raise CudaError("cudaErrorInvalidValue")
    return gpu.allocate(size, "pinned")


def cudaMallocHost(gpu: Gpu, size: int) -> int:
    return cudaHostAlloc(gpu, size, 0)


def cudaFreeHost(gpu: Gpu, address: int) -> None:
    gpu.refuse_while_capturing()
    cudaDeviceSynchronize(gpu)
    gpu.free(address, HOST_KINDS)


def cudaHostGetDevicePointer(gpu: Gpu, address: int, flags: int) -> int:
    gpu.view(address, 0, "cudaHostGetDevicePointer")
    return address


def cudaMemGetInfo(gpu: Gpu) -> tuple[int, int]:
    return gpu.limit - gpu.used, gpu.device.memory


def _bytes(gpu: Gpu, address: int, count: int, host: bool | None) -> NDArray[np.uint8] | None:
    """A copy's source or target; None for plain (pageable) host memory."""
    what = "copy"
    found = gpu.view(address, count, what)
    kind = next((b.kind for b in gpu.blocks.values() if _within(b.address, b.size, address)), "")
    if host is False and kind in ("", "pinned"):
        gpu.wrong(f"{what}: {address:#x} is no device memory", "cudaErrorInvalidValue")
    if host is True and kind == "device":
        gpu.wrong(f"{what}: {address:#x} is device memory, not host", "cudaErrorInvalidValue")
    return found


def _within(start: int, size: int, address: int) -> bool:
    return start <= address < start + max(size, 1)


def _pageable(address: int, count: int) -> NDArray[np.uint8]:
    return np.frombuffer((ctypes.c_char * count).from_address(address), np.uint8)


def cudaMemcpyAsync(gpu: Gpu, to: int, source: int, count: int, kind: int, stream: int) -> None:
    if not HOST_TO_HOST <= kind <= ANY:
        raise CudaError("cudaErrorInvalidMemcpyDirection")
    queue = gpu.stream(stream)
    if count == 0:
        return
    ends = {
        HOST_TO_HOST: (True, True),
        HOST_TO_DEVICE: (False, True),
        DEVICE_TO_HOST: (True, False),
        DEVICE_TO_DEVICE: (False, False),
        ANY: (None, None),
    }[kind]
    target, origin = _bytes(gpu, to, count, ends[0]), _bytes(gpu, source, count, ends[1])
    staged = None
    if origin is None:  # plain host memory is read, through a staging buffer, before the return
        gpu.pageable_copies += 1
        staged = _pageable(source, count).copy() if queue.capture is None else None

    def work() -> None:
        read = staged if staged is not None else gpu.view(source, count, "copy")
        write = gpu.view(to, count, "copy")
        read = _pageable(source, count) if read is None else read
        (_pageable(to, count) if write is None else write)[:] = read

    gpu.put(queue, Op("copy", count / BYTES_PER_MS, work))
    if target is None:
        gpu.pageable_copies += 1
        if queue.capture is None:  # into plain memory the real one returns when it is done
            gpu.drain(queue)


def cudaMemcpy(gpu: Gpu, to: int, source: int, count: int, kind: int) -> None:
    gpu.refuse_while_capturing()
    cudaMemcpyAsync(gpu, to, source, count, kind, 0)
    gpu.drain(gpu.streams[0])


def cudaMemsetAsync(gpu: Gpu, address: int, value: int, count: int, stream: int) -> None:
    gpu.view(address, count, "memset")

    def work() -> None:
        view = gpu.view(address, count, "memset")
        assert view is not None
        view[:] = value & 0xFF

    gpu.put(gpu.stream(stream), Op("memset", count / BYTES_PER_MS, work))


def cudaMemset(gpu: Gpu, address: int, value: int, count: int) -> None:
    gpu.refuse_while_capturing()
    cudaMemsetAsync(gpu, address, value, count, 0)
    gpu.drain(gpu.streams[0])


# --- streams and events -----------------------------------------------------------------------


def cudaStreamCreateWithFlags(gpu: Gpu, flags: int) -> tuple[str, int]:
    if flags not in (0, 1):
        raise CudaError("cudaErrorInvalidValue")
    handle = gpu.handle()
    gpu.streams[handle] = Stream(handle, blocking=flags == 0)
    return ("cudaStream_t", handle)


def cudaStreamCreate(gpu: Gpu) -> tuple[str, int]:
    return cudaStreamCreateWithFlags(gpu, 0)


def cudaStreamCreateWithPriority(gpu: Gpu, flags: int, priority: int) -> tuple[str, int]:
    return cudaStreamCreateWithFlags(gpu, flags)


def cudaStreamDestroy(gpu: Gpu, stream: int) -> None:
    if stream == 0:
        raise CudaError("cudaErrorInvalidResourceHandle")
    gpu.drain(gpu.stream(stream))
    del gpu.streams[stream]


def cudaStreamSynchronize(gpu: Gpu, stream: int) -> None:
    queue = gpu.stream(stream)
    gpu.refuse_while_capturing(queue)
    gpu.drain(queue)


def cudaStreamQuery(gpu: Gpu, stream: int) -> None:
    queue = gpu.stream(stream)
    gpu.refuse_while_capturing(queue)
    if queue.queue:
        raise CudaError("cudaErrorNotReady")


def cudaStreamWaitEvent(gpu: Gpu, stream: int, event: int, flags: int) -> None:
    queue, awaited = gpu.stream(stream), gpu.event(event)

    def work() -> None:
        if awaited.stream is not None and awaited.time is None:
            gpu.drain(awaited.stream, until=awaited)
        queue.clock = max(queue.clock, awaited.time or 0.0)

    gpu.put(queue, Op("wait", 0.0, work))


def cudaDeviceSynchronize(gpu: Gpu) -> None:
    gpu.refuse_while_capturing()
    for stream in list(gpu.streams.values()):
        gpu.drain(stream)


def cudaEventCreateWithFlags(gpu: Gpu, flags: int) -> tuple[str, int]:
    handle = gpu.handle()
    gpu.events[handle] = Event(handle, timing=not flags & DISABLE_TIMING)
    return ("cudaEvent_t", handle)


def cudaEventCreate(gpu: Gpu) -> tuple[str, int]:
    return cudaEventCreateWithFlags(gpu, 0)


def cudaEventDestroy(gpu: Gpu, event: int) -> None:
    gpu.event(event)
    del gpu.events[event]


def cudaEventRecord(gpu: Gpu, event: int, stream: int) -> None:
    recorded, queue = gpu.event(event), gpu.stream(stream)
    recorded.stream, recorded.time, recorded.captured = queue, None, queue.capture is not None

    def work() -> None:
        recorded.time = queue.clock

    if queue.capture is None:
        gpu.put(queue, Op("record", 0.0, work))


def cudaEventSynchronize(gpu: Gpu, event: int) -> None:
    awaited = gpu.event(event)
    if awaited.captured:
        raise CudaError("cudaErrorCapturedEvent")
    if awaited.stream is not None:
        gpu.drain(awaited.stream, until=awaited)


def cudaEventQuery(gpu: Gpu, event: int) -> None:
    awaited = gpu.event(event)
    if awaited.stream is not None and awaited.time is None:
        raise CudaError("cudaErrorNotReady")


def cudaEventElapsedTime(gpu: Gpu, start: int, end: int) -> float:
    first, last = gpu.event(start), gpu.event(end)
    if not (first.timing and last.timing) or first.stream is None or last.stream is None:
        raise CudaError("cudaErrorInvalidResourceHandle")
    if first.captured or last.captured:
        raise CudaError("cudaErrorCapturedEvent")
    if first.time is None or last.time is None:
        raise CudaError("cudaErrorNotReady")
    return float(np.float32(last.time - first.time))


# --- graphs -----------------------------------------------------------------------------------


def cudaStreamBeginCapture(gpu: Gpu, stream: int, mode: int) -> None:
    queue = gpu.stream(stream)
    if stream == 0:
        raise CudaError("cudaErrorStreamCaptureUnsupported")
    if queue.capture is not None or not 0 <= mode <= 2:
        raise CudaError("cudaErrorIllegalState" if queue.capture else "cudaErrorInvalidValue")
    queue.capture = Capture(mode)


def cudaStreamIsCapturing(gpu: Gpu, stream: int) -> int:
    capture = gpu.stream(stream).capture
    return 0 if capture is None else 2 if capture.invalid else 1


def cudaStreamEndCapture(gpu: Gpu, stream: int) -> tuple[str, int]:
    queue = gpu.stream(stream)
    capture, queue.capture = queue.capture, None
    if capture is None:
        raise CudaError("cudaErrorIllegalState")
    if capture.invalid:
        raise CudaError("cudaErrorStreamCaptureInvalidated")
    handle = gpu.handle()
    gpu.graphs[handle] = capture.ops
    return ("cudaGraph_t", handle)


def cudaGraphInstantiateWithFlags(gpu: Gpu, graph: int, flags: int) -> tuple[str, int]:
    if graph not in gpu.graphs:
        gpu.wrong(f"graph {graph:#x} does not exist", "cudaErrorInvalidValue")
    handle = gpu.handle()
    gpu.executables[handle] = list(gpu.graphs[graph])
    return ("cudaGraphExec_t", handle)


def cudaGraphInstantiate(gpu: Gpu, graph: int, *rest: int) -> tuple[str, int]:
    return cudaGraphInstantiateWithFlags(gpu, graph, 0)


def _executable(gpu: Gpu, handle: int) -> list[Op]:
    if handle not in gpu.executables:
        gpu.wrong(f"executable graph {handle:#x} does not exist", "cudaErrorInvalidValue")
    return gpu.executables[handle]


def cudaGraphUpload(gpu: Gpu, executable: int, stream: int) -> None:
    gpu.stream(stream)
    _executable(gpu, executable)


def cudaGraphLaunch(gpu: Gpu, executable: int, stream: int) -> None:
    queue = gpu.stream(stream)
    gpu.put(queue, Op("launch", LAUNCH_MS, lambda: None))
    for op in _executable(gpu, executable):
        gpu.put(queue, op)


def cudaGraphExecDestroy(gpu: Gpu, executable: int) -> None:
    _executable(gpu, executable)
    del gpu.executables[executable]


def cudaGraphDestroy(gpu: Gpu, graph: int) -> None:
    if graph not in gpu.graphs:
        gpu.wrong(f"graph {graph:#x} does not exist", "cudaErrorInvalidValue")
    del gpu.graphs[graph]


# --- the device -------------------------------------------------------------------------------


def cudaGetDeviceCount(gpu: Gpu) -> int:
    return 1


def cudaGetDevice(gpu: Gpu) -> int:
    return 0


def cudaSetDevice(gpu: Gpu, device: int) -> None:
    _check_device(device)


def cudaSetDeviceFlags(gpu: Gpu, flags: int) -> None:
    return None


def _check_device(device: int) -> None:
    if device != 0:
        raise CudaError("cudaErrorInvalidDevice")


def cudaGetDeviceProperties(gpu: Gpu, device: int) -> types.SimpleNamespace:
    _check_device(device)
    d = gpu.device
    return types.SimpleNamespace(
        name=d.name.encode(),
        major=d.compute[0],
        minor=d.compute[1],
        multiProcessorCount=d.multiprocessors,
        totalGlobalMem=d.memory,
        integrated=int(d.integrated),
        canMapHostMemory=1,
        unifiedAddressing=1,
    )


def cudaDeviceGetAttribute(gpu: Gpu, attribute: int, device: int) -> int:
    _check_device(device)
    known: dict[int, Callable[[], int]] = {
        16: lambda: gpu.device.multiprocessors,
        18: lambda: int(gpu.device.integrated),
        19: lambda: 1,  # can map host memory
        41: lambda: 1,  # unified addressing
        75: lambda: gpu.device.compute[0],
        76: lambda: gpu.device.compute[1],
        88: lambda: int(gpu.device.integrated),  # pageable memory access
    }
    if attribute not in known:
        raise NotImplementedError(f"the fake CUDA runtime does not know attribute {attribute}")
    return known[attribute]()


def cudaDeviceGetPCIBusId(gpu: Gpu, length: int, device: int) -> bytes:
    _check_device(device)
    return b"0000:01:00.0"[: max(length - 1, 0)]


def cudaDriverGetVersion(gpu: Gpu) -> int:
    return 13000


def cudaRuntimeGetVersion(gpu: Gpu) -> int:
    return 13000
