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


def peak_resident_bytes() -> int | None:
    """The most memory this process ever held."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
