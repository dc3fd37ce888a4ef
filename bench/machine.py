"""The machine a result was measured on, read from the operating system's own files.

What cannot be read is reported as absent, with the reason, never as zero. No serial numbers and no
user names are read; the host's name is.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgereid.bench.machine_files import (
    UNRECORDED,
    Reading,
    cpuinfo,
    file_text,
    memory_field,
    value_in,
)
from edgereid.bench.machine_state import State, state, state_warnings

__all__ = ["Machine", "Reading", "State", "machine", "state", "state_warnings"]

#: Processor features that decide which arithmetic an engine can use.
FEATURES = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
PACKAGES = (
    "numpy", "pillow", "torch", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "onnx",
)  # fmt: skip


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
    power_mode: Reading = UNRECORDED


def _cpu_model(root: Path, info: dict[str, list[str]]) -> Reading:
    if info.get("model name"):
        return Reading(info["model name"][0])
    board = file_text(root / "proc/device-tree/model")  # ARM boards
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


def _accelerator(root: Path) -> Reading:
    board = file_text(root / "etc/nv_tegra_release")
    if board:
        return Reading(board.splitlines()[0])
    driver = file_text(root / "proc/driver/nvidia/version")
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
    info = cpuinfo(root)
    frequency = root / "sys/devices/system/cpu/cpu0/cpufreq"
    quota = value_in(root / "sys/fs/cgroup/cpu.max", _quota)
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
        governor=value_in(frequency / "scaling_governor", str),
        memory=memory_field(root, "MemTotal"),
        accelerator=_accelerator(root),
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
        power_mode=_power_mode(root),
    )


def _power_mode(root: Path) -> Reading:
    """A Jetson's nvpmodel mode, else the profile that the firmware was set to."""
    for name in ("var/lib/nvpmodel/status", "sys/firmware/acpi/platform_profile"):
        if text := file_text(root / name):
            return Reading(text)
    return Reading(None, "neither nvpmodel nor a platform profile tells")
