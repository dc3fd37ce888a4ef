"""INA3221: the power monitors of NVIDIA's Jetson boards, three rails a chip, through hwmon.

source: Linux, Documentation/hwmon/ina3221.rst: ``in[123]_input`` is a rail's voltage in mV,
``curr[123]_input`` its current in mA, ``in[123]_label`` its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.energy.meters import POWER, Found, number, word

_CHANNELS = (1, 2, 3)
_NOT_CONNECTED = "NC"
#: Rails that feed the whole module.
_INPUTS = ("VDD_IN", "POM_5V_IN")


@dataclass(frozen=True, slots=True)
class Rail:
    """One rail of one chip."""

    name: str
    covers: str
    voltage: Path
    current: Path
    kind: str = POWER
    wraps_at: float | None = None

    def read(self) -> float:
        return number(self.voltage) * number(self.current) / 1e6  # mV x mA


def ina3221(root: Path = Path("/")) -> Found:
    """The rails of this machine; ``root`` is where ``sys`` is."""
    tree = root / "sys/class/hwmon"
    chips = [p for p in sorted(tree.glob("hwmon*")) if word(p / "name") == "ina3221"]
    if not chips:
        return Found(absent=(f"INA3221: {tree} has no ina3221 (no Jetson board)",))
    return sum((_rail(chip, channel) for chip in chips for channel in _CHANNELS), Found())


def _rail(chip: Path, channel: int) -> Found:
    label = word(chip / f"in{channel}_label")
    if label == _NOT_CONNECTED:
        return Found()
    name = f"INA3221 {label or f'{chip.name} rail {channel}'}"
    if word(chip / f"in{channel}_enable") == "0":
        return Found(absent=(f"{name}: the rail's measurement is switched off",))
    covers = "the whole module" if label in _INPUTS else "this rail"
    rail = Rail(name, covers, chip / f"in{channel}_input", chip / f"curr{channel}_input")
    try:
        rail.read()
    except (OSError, ValueError) as error:
        return Found(absent=(f"{name}: cannot be read ({error})",))
    return Found((rail,))
