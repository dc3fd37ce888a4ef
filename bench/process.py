"""Memory of this process, as the operating system counts it; ``None`` where it does not tell."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int | None:
    """Memory this process holds now (resident set size)."""
    try:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def peak_resident_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """The most memory this process ever held. Linux' own count (VmHWM) comes first: the one of
    getrusage begins with what the parent process held when it started this one."""
    try:
        lines = status.read_text().splitlines()
        return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("VmHWM:"))
    except (OSError, ValueError, IndexError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
