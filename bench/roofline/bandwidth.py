"""Bandwidth of memory and of the last cache: copy and triad with numpy, on several threads.

source: McCalpin, STREAM (https://www.cs.virginia.edu/stream/ref.html): bytes are counted as the
kernel names them, copy 2 and triad 3 a number; what the processor reads before it overwrites a line
is not counted. Arrays for memory have at least four times the size of the last cache.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.machine import Reading
from edgereid.bench.machine_files import file_text, memory_field

CACHE, DRAM = "last cache", "memory"
TIMES_CACHE = 4
_SMALLEST = 64 * 2**20  # bytes of an array for memory where no cache size is known
_MEMORY_SHARE = 0.25  # of what is free, for all three arrays
_BLOCK = 65_536  # numbers: the intermediate result of the triad stays in the second cache
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}

Vector = NDArray[np.float32]


def last_cache(root: Path = Path("/")) -> Reading:
    """Bytes of the largest cache of the first processor; absent where the kernel does not tell."""
    found: dict[int, int] = {}
    for index in root.glob("sys/devices/system/cpu/cpu0/cache/index*"):
        level, size = file_text(index / "level") or "", file_text(index / "size") or ""
        if (file_text(index / "type") or "") != "Instruction" and level.isdigit():
            digits = size.rstrip("KMG")
            if digits.isdigit():
                found[int(level)] = int(digits) * _UNITS.get(size[-1:], 1)
    if not found:
        return Reading(None, "the kernel does not tell the sizes of its caches")
    return Reading(found[max(found)])


@dataclass(frozen=True, slots=True)
class Stream:
    """A kernel over arrays at one level; one ``run`` moves ``nbytes``. ``doubt`` says what is
    wrong with the arrays' size, if anything."""

    level: str
    kind: str
    nbytes: int
    array_bytes: int
    run: Callable[[object], object]
    doubt: str = ""


def _copy(a: Vector, b: Vector, c: Vector) -> None:
    np.copyto(a, b)


def _triad(a: Vector, b: Vector, c: Vector) -> None:
    """a = b + 3 c, by blocks, so that only the three arrays go through memory."""
    scaled = np.empty(min(_BLOCK, len(a)), np.float32)
    for start in range(0, len(a), _BLOCK):
        part = slice(start, start + _BLOCK)
        product = scaled[: len(a[part])]
        np.multiply(c[part], np.float32(3), out=product)
        np.add(b[part], product, out=a[part])


#: Kernel -> (function, arrays it moves).
_KERNELS: dict[str, tuple[Callable[[Vector, Vector, Vector], None], int]] = {
    "copy": (_copy, 2),
    "triad": (_triad, 3),
}


def streams(threads: int, pool: ThreadPoolExecutor, root: Path = Path("/")) -> list[Stream]:
    """The kernels for memory, and the copy for the last cache where its size is known; ``pool``
    has ``threads`` threads."""
    cache = last_cache(root).value
    nbytes, doubt = _memory_arrays(cache, memory_field(root, "MemAvailable").value)
    arrays = [np.full(nbytes // 4, value, np.float32) for value in (1, 2, 3)]
    found = [_stream(DRAM, kind, arrays, 1, threads, pool, doubt) for kind in _KERNELS]
    if cache:
        half = [array[: cache // 4 // 4] for array in arrays]  # two arrays: half of the cache
        found.append(_stream(CACHE, "copy", half, 16, threads, pool, ""))
    return found


def _memory_arrays(cache: int | None, available: int | None) -> tuple[int, str]:
    """Bytes of one of three arrays, and what is wrong with that."""
    wanted = max(_SMALLEST, TIMES_CACHE * (cache or 0))
    allowed = wanted if available is None else int(_MEMORY_SHARE * available / 3)
    if allowed >= wanted:
        return wanted, "" if cache else "the cache's size is unknown: it may be part of the figure"
    return max(allowed, 2**20), f"arrays of {allowed / 1e6:.0f} MB, as memory is short"


def _stream(
    level: str,
    kind: str,
    arrays: list[Vector],
    repeats: int,
    threads: int,
    pool: ThreadPoolExecutor,
    doubt: str,
) -> Stream:
    """Each thread has its own part of the arrays and goes over it ``repeats`` times a run."""
    kernel, moved = _KERNELS[kind]
    parts = [np.array_split(array, threads) for array in arrays]

    def work(index: int) -> None:
        a, b, c = (part[index] for part in parts)
        for _ in range(repeats):
            kernel(a, b, c)

    def run(_: object) -> object:
        return list(pool.map(work, range(threads)))

    total = repeats * moved * arrays[0].nbytes
    return Stream(level, kind, total, arrays[0].nbytes, run, doubt)
