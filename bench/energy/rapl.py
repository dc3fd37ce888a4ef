"""RAPL: the energy counters of Intel's and AMD's processors, through the kernel's powercap tree.

source: Linux, Documentation/power/powercap/powercap.rst. AMD's processors appear under the same
name, ``intel-rapl``. The second tree of some laptops, ``intel-rapl-mmio``, counts the same packages
once more and is left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.energy.meters import ENERGY, Found, number, word

_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")
#: First word of a zone's name -> what it covers.
_COVERS = {
    "package": "the processor's socket: cores, caches, memory controller, built-in graphics",
    "core": "the cores, a part of the package",
    "uncore": "the built-in graphics, a part of the package",
    "dram": "the memory of this socket, not in the package",
    "psys": "the whole board as far as its maker wired it, the package included",
}


@dataclass(frozen=True, slots=True)
class RaplZone:
    """One counter, in microjoules in its file."""

    name: str
    covers: str
    file: Path
    wraps_at: float | None
    kind: str = ENERGY

    def read(self) -> float:
        return number(self.file) / 1e6


def rapl(root: Path = Path("/")) -> Found:
    """The zones of this machine; ``root`` is where ``sys`` is."""
    tree = root / "sys/class/powercap"
    zones = sorted(p for p in tree.glob("intel-rapl:*") if _ZONE.fullmatch(p.name))
    if not zones:
        reason = "a virtual machine, another processor, or a kernel without its driver"
        return Found(absent=(f"RAPL: {tree} has no intel-rapl zone ({reason})",))
    return sum((_zone(zone) for zone in zones), Found())


def _name(zone: Path) -> str:
    """ "RAPL package-0", and for a part "RAPL package-0 core"."""
    parent = zone.with_name(zone.name.rpartition(":")[0])
    words = [word(parent / "name")] if parent.name.count(":") else []
    return " ".join(["RAPL", *filter(None, words), word(zone / "name") or zone.name])


def _zone(zone: Path) -> Found:
    name, file = _name(zone), zone / "energy_uj"
    covers = _COVERS.get(name.split()[-1].partition("-")[0], "unknown")
    try:
        number(file)
        wraps_at = number(zone / "max_energy_range_uj") / 1e6
    except PermissionError as error:
        return Found(
            absent=(
                f"{name}: {error.filename or file} may be read by root only: run as root, or have "
                "root allow it (chmod a+r)",
            )
        )
    except (OSError, ValueError) as error:
        return Found(absent=(f"{name}: {file} is not understood ({error})",))
    return Found((RaplZone(name, covers, file, wraps_at if wraps_at > 0 else None),))
