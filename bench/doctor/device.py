"""The device: processor, memory, disk, GPU, Jetson board and meters of power, each in a section."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgereid.bench.doctor.report import Fact, Section
from edgereid.bench.energy.window import find_meters
from edgereid.bench.jetson.board import Board, chip_note
from edgereid.bench.jetson.power_mode import PowerMode, ask
from edgereid.bench.machine import machine
from edgereid.bench.machine_files import Reading, file_text, memory_field
from edgereid.bench.machine_state import State, state, state_warnings
from edgereid.cpus import usable_cpus

GIB = 2**30
#: Less than these and a command is likely to fail.
LITTLE_MEMORY, LITTLE_DISK = 1 * GIB, 4 * GIB
#: Kind of arithmetic -> the processor's features that speed it up.
ARITHMETIC = {
    "INT8": ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"),
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "FP16": ("avx512_fp16", "amx_fp16", "asimdhp"),
}
#: The version that the project's tests run on; others are declared to work.
TESTED_PYTHON = (3, 11)
_SMI_FIELDS = ("name", "memory.total", "driver_version", "compute_cap")


@dataclass(frozen=True, slots=True)
class World:
    """Where to look: ``root`` of the file system, ``here`` the folder whose disk is asked, how a
    program is found and asked."""

    root: Path = Path("/")
    here: Path = field(default_factory=Path.cwd)
    which: Callable[[str], str | None] = shutil.which
    ask: Callable[[Sequence[str]], str] = ask


def _gib(reading: Reading) -> str | None:
    return None if reading.value is None else f"{reading.value / GIB:.1f} GiB"


def processor(world: World) -> Section:
    """Model, arithmetic, how many processors may be used, governor."""
    found = machine(world.root)
    facts = [Fact("python", f"{found.python}, {_tested_python()} ({sys.executable})")]
    facts += [Fact("system", f"{found.os}, {found.architecture}"), Fact.of("processor", found.cpu)]
    for kind, names in ARITHMETIC.items():
        have = [n for n in names if n in (found.features.value or ())]
        why = found.features.absent or f"none of {', '.join(names)}"
        facts.append(Fact(f"{kind} arithmetic", ", ".join(have) or None, None if have else why))
    count = f"{found.usable_cpus} of {found.logical_cpus} may be used"
    quota = found.cpu_quota.value
    facts.append(Fact("processors", count if quota is None else f"{count}, quota {quota:g}"))
    facts.append(Fact.of("governor", found.governor))
    return Section("device", (*facts, *_room(world)))


def _tested_python() -> str:
    major, minor = TESTED_PYTHON
    return "tested" if sys.version_info[:2] == TESTED_PYTHON else f"tested: {major}.{minor}"


def _room(world: World) -> tuple[Fact, ...]:
    total, free = (memory_field(world.root, f"Mem{kind}") for kind in ("Total", "Available"))
    swap = memory_field(world.root, "SwapTotal")
    disk = disk_free(world)
    return (
        Fact.of("memory", total, f"{_gib(total)}, {_gib(free) or 'unknown'} available"),
        Fact.of("swap", swap, _gib(swap)),
        Fact.of("disk", disk, f"{_gib(disk)} free"),
    )


def disk_free(world: World) -> Reading:
    """Bytes that may be written where the command runs."""
    try:
        return Reading(shutil.disk_usage(world.here).free)
    except OSError as error:
        return Reading(None, f"the disk of {world.here} does not tell ({error.strerror})")


def gpus(world: World) -> tuple[Section, bool]:
    """What is known of NVIDIA GPUs, and whether there is one outside of a Jetson's chip."""
    driver = (file_text(world.root / "proc/driver/nvidia/version") or "").partition("\n")[0]
    facts = [Fact("driver", driver or None, None if driver else "no NVIDIA driver is loaded")]
    program = world.which("nvidia-smi")
    if program is None:
        return Section("GPU", (*facts, Fact("nvidia-smi", None, "not installed"))), bool(driver)
    query = [program, f"--query-gpu={','.join(_SMI_FIELDS)}", "--format=csv,noheader"]
    try:
        rows = [line.strip() for line in world.ask(query).splitlines() if line.strip()]
    except OSError as error:
        return Section("GPU", (*facts, Fact("nvidia-smi", None, str(error)))), bool(driver)
    found = [_gpu(i, row) for i, row in enumerate(rows)]
    facts += found or [Fact("nvidia-smi", None, "it lists no GPU")]
    return Section("GPU", tuple(facts)), bool(found or driver)


def _gpu(index: int, row: str) -> Fact:
    values = [v.strip() for v in row.split(",")]
    if len(values) != len(_SMI_FIELDS):
        return Fact(f"GPU {index}", None, f"nvidia-smi's answer is not understood: {row[:80]}")
    name, memory, driver, compute = values
    said = f"{name}, {memory}, driver {driver}, compute capability {compute}"
    return Fact(f"GPU {index}", said)


def jetson(board: Board) -> Section:
    """The board's own facts in words."""
    ranges = board.clocks.value or ()
    locked = sum(r.locked for r in ranges)
    mode = board.power_mode.value
    named = f"{mode.name or 'unnamed'} ({mode.number})" if isinstance(mode, PowerMode) else None
    if board.jetpack_installed.value is None:
        package = f"{board.jetpack.value} by its release; nvidia-jetpack is not installed"
    else:
        package = f"{board.jetpack.value} (nvidia-jetpack is installed)"
    heat = ", ".join(f"{k} {v:g}" for k, v in (board.temperatures.value or {}).items())
    return Section(
        "Jetson",
        (
            Fact.of("board", board.model),
            Fact.of("chip", board.chip, chip_note(board)),
            Fact.of("Jetson Linux", board.l4t),
            Fact.of("JetPack", board.jetpack, package),
            Fact.of("power mode", board.power_mode, named),
            Fact.of("clocks", board.clocks, f"{locked} of {len(ranges)} locked"),
            Fact.of("temperatures", board.temperatures, heat),
        ),
    )


def meters(world: World) -> Section:
    """Meters of power found, and why others are absent."""
    found = find_meters(world.root)
    facts = [Fact(m.name, m.covers) for m in found.meters]
    absent = [reason.partition(": ") for reason in found.absent]
    return Section(
        "power meters", (*facts, *(Fact(name, None, why or name) for name, _, why in absent))
    )


def device_warnings(world: World) -> list[str]:
    """What of the present state casts doubt on a measurement or may make a command fail."""
    now = state(world.root)
    found = [*state_warnings(now, now, usable_cpus()), *_throttled(now)]
    governor = machine(world.root).governor.value
    if governor not in (None, "performance"):
        found.append(
            f"the governor is {governor}: clocks follow the load; for a measurement "
            "sudo cpupower frequency-set -g performance"
        )
    free = now.memory_available.value
    if free is not None and free < LITTLE_MEMORY:
        found.append(f"only {free / GIB:.1f} GiB of memory are available")
    disk = disk_free(world).value
    if disk is not None and disk < LITTLE_DISK:
        found.append(f"only {disk / GIB:.1f} GiB of disk are free in {os.fspath(world.here)}")
    return found


def _throttled(now: State) -> list[str]:
    counts = {k: n for k, n in sorted((now.throttled.value or {}).items()) if n > 0}
    said = ", ".join(f"{k} {n:g} times" for k, n in counts.items())
    return [f"heat has slowed the processor since the start ({said})"] if counts else []
