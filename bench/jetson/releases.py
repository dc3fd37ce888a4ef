"""Which JetPack a release of Jetson Linux (L4T) belongs to, and which chip is on which boards.

sources: NVIDIA, "JetPack Archive" (developer.nvidia.com/embedded/jetpack-archive), "Jetson Archived
Documentation" (docs.nvidia.com/jetson/archives) and the pages of L4T 32.7.1, 32.7.2 and JetPack
7.1; checked against the tables of jetson_stats and two other public projects. A release on which
they disagree (36.4.7) is left out: then only JetPack's first number is told.
"""

from __future__ import annotations

from dataclasses import dataclass

JETPACK = {
    "39.2.1": "7.2.1",
    "39.2.0": "7.2",
    "38.4.0": "7.1",
    "38.2.1": "7.0",
    "38.2.0": "7.0",
    "36.5.2": "6.2.3",
    "36.5.0": "6.2.2",
    "36.4.4": "6.2.1",
    "36.4.3": "6.2",
    "36.4.0": "6.1",
    "36.3.0": "6.0",
    "36.2.0": "6.0 DP",
    "35.6.1": "5.1.5",
    "35.6.0": "5.1.4",
    "35.5.0": "5.1.3",
    "35.4.1": "5.1.2",
    "35.3.1": "5.1.1",
    "35.2.1": "5.1",
    "35.1.0": "5.0.2",
    "34.1.1": "5.0.1 DP",
    "34.1.0": "5.0 DP",
    "32.7.6": "4.6.6",
    "32.7.5": "4.6.5",
    "32.7.4": "4.6.4",
    "32.7.3": "4.6.3",
    "32.7.2": "4.6.2",
    "32.7.1": "4.6.1",
    "32.6.1": "4.6",
    "32.5.2": "4.5.1",
    "32.5.1": "4.5.1",
    "32.5.0": "4.5",
    "32.4.4": "4.4.1",
    "32.4.3": "4.4",
    "32.3.1": "4.3",
}
#: First number of L4T -> first number of JetPack.
GENERATION = {"32": "4", "34": "5", "35": "5", "36": "6", "38": "7", "39": "7"}


@dataclass(frozen=True, slots=True)
class Chip:
    """``compute``: CUDA's compute capability. source: NVIDIA, "CUDA GPU Compute Capability"."""

    boards: str
    compute: str


#: Name in the device tree's ``compatible`` -> the chip.
CHIPS = {
    "tegra210": Chip("Jetson Nano, TX1", "5.3"),
    "tegra186": Chip("Jetson TX2", "6.2"),
    "tegra194": Chip("Jetson Xavier NX, AGX Xavier", "7.2"),
    "tegra234": Chip("Jetson Orin Nano, Orin NX, AGX Orin", "8.7"),
    "tegra264": Chip("Jetson Thor", "11.0"),
}


def jetpack_of(l4t: str) -> str | None:
    """ "6.2" for "36.4.3"; "6.x" for a release that is not in the table, None for a generation
    that is not."""
    if l4t in JETPACK:
        return JETPACK[l4t]
    generation = GENERATION.get(l4t.partition(".")[0])
    return f"{generation}.x" if generation else None
