"""What a test chooses: the device that is played and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Device:
    """A board or card, as far as code can ask about it."""

    name: str  # as cudaGetDeviceProperties tells it
    compute: tuple[int, int]
    multiprocessors: int
    memory: int  # bytes
    integrated: bool
    dla_cores: int = 0


GIB = 1 << 30
DEVICES: dict[str, Device] = {
    "xavier": Device("Xavier", (7, 2), 8, 15 * GIB, True, 2),
    "orin-nano": Device("Orin", (8, 7), 8, 7 * GIB, True),
    "orin": Device("Orin", (8, 7), 16, 30 * GIB, True, 2),
    "thor": Device("NVIDIA Thor", (11, 0), 20, 122 * GIB, True),
    "t4": Device("Tesla T4", (7, 5), 40, 15 * GIB, False),
    "h200": Device("NVIDIA H200", (9, 0), 132, 139 * GIB, False),
}


@dataclass(frozen=True, slots=True)
class Failures:
    """What goes wrong, each as the real library shows it. Nothing by default."""

    #: The parser gives up with these messages, whatever the file.
    parser_errors: tuple[str, ...] = ()
    #: "memory", "tactic" or "silent": the build logs the matching error (nothing for "silent")
    #: and returns None.
    build: str = ""
    #: Deserialising logs this and returns None, whatever the plan.
    deserialize: str = ""
    #: No execution context: out of device memory, None.
    context: bool = False
    #: execute_async_v3 logs an error and returns False from this call on (1 is the first).
    execute_from: int = 0
    #: The embeddings come out as NaN.
    nan: bool = False
    #: CUDA function -> the error it returns, or (error, from which call on).
    cuda: Mapping[str, str | tuple[str, int]] = field(default_factory=dict)
    #: Layers for which the builder picks another type than asked: node name -> "Float", "Half".
    chosen: Mapping[str, str] = field(default_factory=dict)
    #: The inspector has no details although they were asked for (names of layers only).
    names_only: bool = False
    #: Free bytes of the device right at the start; None: all but a tenth of its memory.
    free_memory: int | None = None
