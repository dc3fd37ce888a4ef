"""The device behind the fakes: memory that can be misused, streams that run late, graphs.

Nothing here runs on a GPU. Work that is put on a stream is executed when somebody waits for it, in
order; until then a buffer holds what it held before, so that a missing wait shows as stale data.
Device addresses lead nowhere: only the fake's own functions can follow them. Time is a fixed rate
per byte and per layer; it proves nothing about speed.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trt_fakes.options import Device

DEVICE_BASE = 0x1000_0000_0000  # no mapping of a Linux process lies here
ALIGNMENT = 256
BYTES_PER_MS = 10e6
LAUNCH_MS = 0.002


@dataclass(slots=True)
class Block:
    """An allocation. ``memory`` is where its bytes really are."""

    kind: str  # "device", "pinned", "managed" or "tensorrt" (its own)
    address: int
    size: int
    memory: NDArray[np.uint8]
    owner: ctypes.Array[ctypes.c_char] | None = None


@dataclass(slots=True)
class Op:
    what: str
    milliseconds: float
    work: Callable[[], None]


@dataclass(slots=True)
class Capture:
    mode: int  # 0: global, 1: this thread, 2: relaxed
    ops: list[Op] = field(default_factory=list)
    invalid: bool = False


@dataclass(slots=True)
class Stream:
    handle: int
    blocking: bool = True  # takes turns with the default stream
    queue: deque[Op] = field(default_factory=deque)
    clock: float = 0.0
    capture: Capture | None = None


@dataclass(slots=True)
class Event:
    handle: int
    timing: bool = True
    stream: Stream | None = None  # None: never recorded
    time: float | None = None  # None: recorded and not yet reached
    captured: bool = False


class CudaError(Exception):
    """An error code of the runtime, by name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Gpu:
    """One device: what is allocated, what waits on which stream, what was done wrong."""

    def __init__(self, device: Device, free_memory: int | None = None) -> None:
        self.device = device
        self.limit = device.memory * 9 // 10 if free_memory is None else free_memory
        self.blocks: dict[int, Block] = {}
        self.freed: dict[int, int] = {}
        self.streams: dict[int, Stream] = {0: Stream(0)}
        self.events: dict[int, Event] = {}
        self.graphs: dict[int, list[Op]] = {}
        self.executables: dict[int, list[Op]] = {}
        self.misuse: list[str] = []
        self.pageable_copies = 0
        self.quarantine: list[Block] = []  # freed host memory, so that a late read is no crash
        self.sticky = ""
        self.last = ""  # the error that cudaGetLastError gives, and takes back
        self._next = DEVICE_BASE
        self._next_handle = 0x51000000

    # --- memory -------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        return sum(b.size for b in self.blocks.values() if b.kind != "pinned")

    def allocate(self, size: int, kind: str = "device") -> int:
        """A new block's address. Raises CudaError when the device is full."""
        if kind != "pinned" and self.used + size > self.limit:
            raise CudaError("cudaErrorMemoryAllocation")
        owner, memory = None, np.zeros(0, np.uint8)
        if kind in ("device", "tensorrt"):
            address = self._next
            self._next += -(-max(size, 1) // ALIGNMENT) * ALIGNMENT + ALIGNMENT
            memory = np.full(size, 0xCD, np.uint8)
        else:
            owner = ctypes.create_string_buffer(size + ALIGNMENT)
            start = -ctypes.addressof(owner) % ALIGNMENT
            address = ctypes.addressof(owner) + start
            memory = np.frombuffer(owner, np.uint8)[start : start + size]
        self.blocks[address] = Block(kind, address, size, memory, owner)
        return address

    def free(self, address: int, kinds: tuple[str, ...]) -> None:
        """Raises CudaError, and notes the misuse, when there is no such block."""
        if address == 0:
            return
        block = self.blocks.get(address)
        if block is None:
            again = "freed twice" if address in self.freed else "freed but never allocated"
            self.wrong(f"{address:#x} was {again}", "cudaErrorInvalidValue")
        elif block.kind not in kinds:
            self.wrong(f"{block.kind} memory was freed as {kinds[0]}", "cudaErrorInvalidValue")
        else:
            del self.blocks[address]
            self.freed[address] = block.size
            block.memory[:] = 0xDD
            self.quarantine.append(block)

    def view(self, address: int, size: int, what: str) -> NDArray[np.uint8] | None:
        """The bytes at an address that the device may touch; None when they are plain host memory.

        Raises CudaError for memory that was freed and for a range that leaves its block.
        """
        for block in self.blocks.values():
            if block.address <= address < block.address + max(block.size, 1):
                start = address - block.address
                if start + size > block.size:
                    self.wrong(
                        f"{what}: {size} bytes at offset {start} of a block of {block.size}",
                        "cudaErrorInvalidValue",
                    )
                return block.memory[start : start + size]
        for start, length in self.freed.items():
            if start <= address < start + max(length, 1):
                self.wrong(f"{what}: {address:#x} was freed", "cudaErrorIllegalAddress")
        if DEVICE_BASE <= address < self._next or address == 0:
            self.wrong(f"{what}: {address:#x} is no address", "cudaErrorInvalidValue")
        return None

    def wrong(self, what: str, error: str) -> None:
        """Note a misuse and raise the error that the real runtime would give."""
        self.misuse.append(what)
        if error == "cudaErrorIllegalAddress":
            self.sticky = error
        raise CudaError(error)

    # --- streams, events, graphs --------------------------------------------------------------

    def handle(self) -> int:
        self._next_handle += 0x100
        return self._next_handle

    def stream(self, handle: int) -> Stream:
        if handle not in self.streams:
            self.wrong(f"stream {handle:#x} does not exist", "cudaErrorInvalidResourceHandle")
        return self.streams[handle]

    def event(self, handle: int) -> Event:
        if handle not in self.events:
            self.wrong(f"event {handle:#x} does not exist", "cudaErrorInvalidResourceHandle")
        return self.events[handle]

    def put(self, stream: Stream, op: Op) -> None:
        """Queue work, or note it in the graph that is being captured."""
        if stream.capture is not None:
            stream.capture.ops.append(op)
            return
        if stream.handle == 0:
            for other in self.streams.values():
                if other.blocking and other is not stream:
                    self.drain(other)
        elif stream.blocking:
            self.drain(self.streams[0])
        stream.queue.append(op)

    def drain(self, stream: Stream, until: Event | None = None) -> None:
        """Run what waits on a stream, all of it or up to an event."""
        while stream.queue and not (until is not None and until.time is not None):
            op = stream.queue.popleft()
            op.work()
            stream.clock += op.milliseconds

    def refuse_while_capturing(self, stream: Stream | None = None) -> None:
        """Waiting for a captured stream, or allocating meanwhile, spoils the capture."""
        for other in self.streams.values():
            capture = other.capture
            if capture is not None and (other is stream or (stream is None and capture.mode != 2)):
                capture.invalid = True
                raise CudaError("cudaErrorStreamCaptureUnsupported")

    # --- what a test asks ---------------------------------------------------------------------

    def allocated(self) -> list[str]:
        """What was made and not given back: memory, streams, events, graphs."""
        blocks = [f"{b.size} bytes of {b.kind} memory" for b in self.blocks.values()]
        handles = [
            *(["stream"] * (len(self.streams) - 1)),
            *(["event"] * len(self.events)),
            *(["graph"] * len(self.graphs)),
            *(["executable graph"] * len(self.executables)),
        ]
        return blocks + handles
