"""The processors that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # of a container, as the container sees it


def usable_cpus() -> int:
    """Processors this process may use: its affinity, and the quota of its container."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(allowed, _quota()))


def _quota(path: Path = _CGROUP_CPU_MAX) -> int:
    """Whole processors the control group grants; very many when it sets no limit."""
    unlimited = 2**31
    try:
        quota, period = path.read_text().split()[:2]
        return unlimited if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return unlimited
