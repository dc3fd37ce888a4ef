"""The machine a result was measured on, read from the operating system's own files.

What cannot be read is reported as absent, with the reason, never as zero. No serial numbers and no
user names are read; the host's name is.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

#: Processor features that decide which arithmetic an engine can use.
FEATURES = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
PACKAGES = (
    "numpy", "pillow", "torch", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "onnx",
)  # fmt: skip
CLOCK_MOVED = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """A value, or ``None`` with the reason why it is absent."""

    value: Any
    absent: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change during a run. Memory in bytes."""

    host: str
    os: str
    architecture: str
    cpu: Reading
    features: Reading
    logical_cpus: int
    usable_cpus: int
    cpu_quota: Reading
    governor: Reading
    memory: Reading
    accelerator: Reading
    python: str
    packages: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class State:
    """What does change: clocks in MHz (one a processor), temperatures in degrees Celsius by sensor,
    load averages over 1, 5 and 15 minutes, free memory in bytes."""

    clocks: Reading
    temperatures: Reading
    load: Reading
    memory_available: Reading


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None


def _read(path: Path, convert: Callable[[str], Any]) -> Reading:
    """One file's value; absent when it cannot be read or understood."""
    text = _text(path)
    if not text:
        return Reading(None, f"{path} cannot be read")
    try:
        return Reading(convert(text))
    except (ValueError, IndexError):
        return Reading(None, f"{path} is not understood")


def _cpuinfo(root: Path) -> dict[str, list[str]]:
    """Field -> its values, one a processor."""
    fields: dict[str, list[str]] = {}
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if value:
            fields.setdefault(name.strip(), []).append(value.strip())
    return fields


def _cpu_model(root: Path, info: dict[str, list[str]]) -> Reading:
    if info.get("model name"):
        return Reading(info["model name"][0])
    board = _text(root / "proc/device-tree/model")  # ARM boards
    if board:
        return Reading(board)
    name = platform.processor()
    return Reading(name) if name else Reading(None, "the system does not name its processor")


def _features(info: dict[str, list[str]]) -> Reading:
    words = " ".join((info.get("flags") or info.get("Features") or [""])[0:1]).split()
    if not words:
        return Reading(None, "/proc/cpuinfo lists no features")
    return Reading([f for f in FEATURES if f in words])


def _quota(text: str) -> float | None:
    """cgroup v2 ``cpu.max``: processors this group may use, None for no limit."""
    quota, period = text.split()[:2]
    return None if quota == "max" else int(quota) / int(period)


def _memory(root: Path, field: str) -> Reading:
    def convert(text: str) -> int:
        line = next(x for x in [*text.splitlines(), f"{field}:"] if x.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024

    return _read(root / "proc/meminfo", convert)


def _accelerator(root: Path) -> Reading:
    board = _text(root / "etc/nv_tegra_release")
    if board:
        return Reading(board.splitlines()[0])
    driver = _text(root / "proc/driver/nvidia/version")
    if driver:
        return Reading(driver.splitlines()[0])
    return Reading(None, "no NVIDIA driver is loaded")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _usable_cpus() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine(root: Path = Path("/")) -> Machine:
    """Describe this machine; ``root`` is where ``proc`` and ``sys`` are."""
    info = _cpuinfo(root)
    frequency = root / "sys/devices/system/cpu/cpu0/cpufreq"
    quota = _read(root / "sys/fs/cgroup/cpu.max", _quota)
    if quota == Reading(None):
        quota = Reading(None, "no limit is set")
    return Machine(
        host=platform.node(),
        os=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        cpu=_cpu_model(root, info),
        features=_features(info),
        logical_cpus=os.cpu_count() or 1,
        usable_cpus=_usable_cpus(),
        cpu_quota=quota,
        governor=_read(frequency / "scaling_governor", str),
        memory=_memory(root, "MemTotal"),
        accelerator=_accelerator(root),
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
    )


def _clocks(root: Path) -> Reading:
    files = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    if files:
        values = [text for text in map(_text, files) if text and text.isdigit()]
        if values:
            return Reading([int(v) / 1000 for v in values])
    stated = _cpuinfo(root).get("cpu MHz")
    if not stated:
        return Reading(None, "neither cpufreq nor /proc/cpuinfo tells the clock")
    try:
        return Reading([float(v) for v in stated])
    except ValueError:
        return Reading(None, "/proc/cpuinfo's clock is not understood")


def _temperatures(root: Path) -> Reading:
    found: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        name, value = _text(zone / "type") or zone.name, _text(zone / "temp")
        if value and value.lstrip("-").isdigit():
            found[f"{zone.name} {name}"] = int(value) / 1000
    if not found:
        return Reading(None, "no thermal zone can be read")
    return Reading(found)


def state(root: Path = Path("/")) -> State:
    """The machine's present state; ``root`` is where ``proc`` and ``sys`` are."""
    return State(
        clocks=_clocks(root),
        temperatures=_temperatures(root),
        load=_read(root / "proc/loadavg", lambda t: [float(v) for v in t.split()[:3]]),
        memory_available=_memory(root, "MemAvailable"),
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
    return found
