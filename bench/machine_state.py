"""What changes while one measures (clocks, heat, load), and what in it casts doubt on a result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.machine_files import (
    UNRECORDED,
    Reading,
    cpuinfo,
    file_text,
    memory_field,
    numbers,
    value_in,
)

CLOCK_MOVED = 0.05
#: Cooling devices that cool by making something slower; fans do not.
_SLOWS = re.compile("processor|cpufreq|devfreq", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class State:
    """What does change: clocks in MHz (one a processor), temperatures in degrees Celsius by sensor,
    load averages over 1, 5 and 15 minutes, free memory in bytes.

    ``throttled``: how often heat has slowed the processors since the start, by kind, summed over
    them. ``cooling``: steps by which each cooling device slows something now, 0 for not.
    ``clock_limits``: the highest clocks allowed now, MHz. ``device_clocks``: of GPUs and
    memory that have a devfreq driver, MHz.
    """

    clocks: Reading
    temperatures: Reading
    load: Reading
    memory_available: Reading
    throttled: Reading = UNRECORDED
    cooling: Reading = UNRECORDED
    clock_limits: Reading = UNRECORDED
    device_clocks: Reading = UNRECORDED


def _clocks(root: Path) -> Reading:
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    if files:
        values = [text for text in map(file_text, files) if text and text.isdigit()]
        if values:
            return Reading([int(v) / 1000 for v in values])
    stated = cpuinfo(root).get("cpu MHz")
    if not stated:
        return Reading(None, "neither cpufreq nor /proc/cpuinfo tells the clock")
    try:
        return Reading([float(v) for v in stated])
    except ValueError:
        return Reading(None, "/proc/cpuinfo's clock is not understood")


def _of_type(file: Path) -> str:
    """ "thermal_zone0 cpu-thermal": the folder and what it says it is."""
    return f"{file.parent.name} {file_text(file.parent / 'type') or file.parent.name}"


def _slowing(file: Path) -> str:
    return _of_type(file) if _SLOWS.search(file_text(file.parent / "type") or "") else ""


def state(root: Path = Path("/")) -> State:
    """The machine's present state; ``root`` is where ``proc`` and ``sys`` are."""
    return State(
        clocks=_clocks(root),
        temperatures=numbers(
            root.glob("sys/class/thermal/thermal_zone*/temp"),
            _of_type,
            "no thermal zone can be read",
            unit=1000,
        ),
        load=value_in(root / "proc/loadavg", lambda t: [float(v) for v in t.split()[:3]]),
        memory_available=memory_field(root, "MemAvailable"),
        throttled=numbers(
            root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"),
            lambda file: file.name.removesuffix("_throttle_count"),
            "the processor's driver does not count throttling",
        ),
        cooling=numbers(
            root.glob("sys/class/thermal/cooling_device*/cur_state"),
            _slowing,
            "no cooling device that slows a processor",
        ),
        clock_limits=numbers(
            root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_max_freq"),
            lambda file: file.parent.parent.name,
            "no cpufreq driver tells the limit",
            unit=1000,
        ),
        device_clocks=numbers(
            root.glob("sys/class/devfreq/*/cur_freq"),
            lambda file: file.parent.name,
            "no devfreq driver",
            unit=1e6,
        ),
    )


def state_warnings(before: State, after: State, usable_cpus: int) -> list[str]:
    """What in the machine's state casts doubt on a measurement, a sentence each."""
    found = []
    if before.load.value is not None and before.load.value[0] > 0.5 * usable_cpus:
        found.append(
            f"the machine was busy before the start (load {before.load.value[0]:.1f} on "
            f"{usable_cpus} processors): close other programs and run again"
        )
    if before.clocks.value and after.clocks.value:
        first, last = max(before.clocks.value), max(after.clocks.value)
        if abs(last - first) > CLOCK_MOVED * first:
            found.append(f"the processor's clock moved from {first:.0f} to {last:.0f} MHz")
    return found + _slowed(before, after)


def _slowed(before: State, after: State) -> list[str]:
    """Signs that heat or a power limit slowed the machine."""
    found = []
    counts, earlier = after.throttled.value or {}, before.throttled.value or {}
    rose = {k: n - earlier[k] for k, n in counts.items() if n > earlier.get(k, n)}
    if rose:
        kinds = ", ".join(f"{k} {n:g} times" for k, n in sorted(rose.items()))
        found.append(f"the processor throttled while measured ({kinds}): cool it and run again")
    active = {**(before.cooling.value or {}), **(after.cooling.value or {})}
    steps = [name for name, step in sorted(active.items()) if step > 0]
    if steps:
        found.append(f"cooling slows the machine: {', '.join(steps)}")
    limits, at_first = after.clock_limits.value or {}, before.clock_limits.value or {}
    moved = [k for k in sorted(limits) if limits[k] != at_first.get(k, limits[k])]
    if moved:
        now = f"{at_first[moved[0]]:.0f} to {limits[moved[0]]:.0f} MHz"
        found.append(f"the highest clock allowed moved ({moved[0]}: {now})")
    return found
