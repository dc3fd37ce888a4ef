"""Streams: what they move, that they move it right, and how large their arrays are."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgereid.bench.machine import Reading
from edgereid.bench.roofline import bandwidth
from edgereid.bench.roofline.bandwidth import CACHE, DRAM, last_cache, streams

CACHES = {0: ("1", "Data", "32K"), 1: ("1", "Instruction", "64K"), 2: ("2", "Unified", "64K")}


def system(root: Path, available_kb: int = 8_000_000, sizes: bool = True) -> Path:
    """A machine with a last cache of 64 KiB."""
    for index, (level, kind, size) in CACHES.items():
        folder = root / f"sys/devices/system/cpu/cpu0/cache/index{index}"
        folder.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size if sizes else "")):
            (folder / name).write_text(f"{text}\n")
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text(f"MemAvailable: {available_kb} kB\n")
    return root


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def test_the_last_cache_is_the_one_of_the_highest_level(tmp_path: Path) -> None:
    assert last_cache(system(tmp_path)) == Reading(65_536)


def test_a_cache_that_is_not_told_is_absent(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    assert last_cache(tmp_path).value is None
    assert last_cache(tmp_path).absent
    found = streams(3, pool, system(tmp_path, sizes=False))
    assert {x.level for x in found} == {DRAM}
    assert all("unknown" in x.doubt for x in found)


def test_arrays_lie_far_beyond_the_cache_and_bytes_count_as_stream_counts_them(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    found = {(x.level, x.kind): x for x in streams(3, pool, system(tmp_path))}
    assert set(found) == {(DRAM, "copy"), (DRAM, "triad"), (CACHE, "copy")}
    copy, triad = found[DRAM, "copy"], found[DRAM, "triad"]
    assert copy.array_bytes >= bandwidth.TIMES_CACHE * 65_536
    assert copy.nbytes == 2 * copy.array_bytes
    assert triad.nbytes == 3 * triad.array_bytes
    near = found[CACHE, "copy"]
    assert 2 * near.array_bytes == 65_536 // 2
    assert near.nbytes % (2 * near.array_bytes) == 0
    assert not any(x.doubt for x in found.values())


def test_short_memory_makes_smaller_arrays_and_says_so(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    found = streams(3, pool, system(tmp_path, available_kb=48_000))
    assert all(3 * x.array_bytes <= 48_000 * 1024 / 4 for x in found if x.level == DRAM)
    assert all("memory is short" in x.doubt for x in found if x.level == DRAM)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 65_536, 200_003])
def test_every_number_is_moved_by_some_thread(
    pool: ThreadPoolExecutor, threads: int, size: int
) -> None:
    rng = np.random.default_rng(0)
    b, c = (rng.random(size, dtype=np.float32) for _ in range(2))
    for kind, wanted in (("copy", b), ("triad", b + 3 * c)):
        a = np.zeros(size, np.float32)
        stream = bandwidth._stream(DRAM, kind, [a, b, c], 1, threads, pool, "")
        stream.run(None)
        np.testing.assert_allclose(a, wanted, rtol=1e-6)
