"""NVML: power and energy of NVIDIA's desktop and server GPUs, through the package pynvml.

The total-energy counter (Volta and later) is preferred to the momentary power, which the driver
averages over up to a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.bench.energy.meters import ENERGY, POWER, Found


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device. ``getter`` names the function of NVML that is read, in mJ or mW."""

    name: str
    covers: str
    kind: str
    nvml: Any
    handle: Any
    getter: str
    wraps_at: float | None = None

    def read(self) -> float:
        try:
            return float(getattr(self.nvml, self.getter)(self.handle)) / 1e3
        except self.nvml.NVMLError as error:
            raise OSError(f"NVML says: {error}") from error


#: Function of NVML -> kind of meter, the better first.
_GETTERS = {
    "nvmlDeviceGetTotalEnergyConsumption": ENERGY,
    "nvmlDeviceGetPowerUsage": POWER,
}


def nvml(root: Path = Path("/")) -> Found:
    """The GPUs of this machine. ``root`` is taken, as by every finder, and not needed."""
    del root
    try:
        import pynvml
    except ImportError:
        return Found(absent=("NVML: pynvml is not installed (pip install nvidia-ml-py)",))
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        return Found(absent=(f"NVML: no NVIDIA driver answers ({error})",))
    if not handles:
        return Found(absent=("NVML: the driver knows no GPU",))
    return sum((_gpu(pynvml, i, handle) for i, handle in enumerate(handles)), Found())


def _gpu(nvml: Any, index: int, handle: Any) -> Found:
    name, reason = f"NVML GPU {index}", ""
    for getter, kind in _GETTERS.items():
        gpu = Gpu(name, "the GPU's whole board", kind, nvml, handle, getter)
        try:
            gpu.read()
        except OSError as error:
            reason = str(error)
        else:
            return Found((gpu,))
    return Found(absent=(f"{name}: {reason}",))
