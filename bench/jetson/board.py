"""A Jetson board: model, chip, release, power mode, clocks and what slows it, from its own files.

What cannot be read is absent with a reason. Serial numbers are not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.jetson.power_mode import PowerMode, power_mode
from edgereid.bench.jetson.releases import CHIPS, jetpack_of
from edgereid.bench.machine_files import Reading, file_text, numbers, value_in
from edgereid.bench.machine_state import state

_TEGRA = re.compile(r"\bnvidia,(tegra[0-9]{3})\b")
#: "# R36 (release), REVISION: 4.3, GCID: ..."; the first number of the revision may stand alone.
_RELEASE = re.compile(r"\bR([0-9]{2})\b[^,]*,\s*REVISION:\s*([0-9]+)(?:\.([0-9]+))?")
_GPU = re.compile(r"gpu|gm20b|gp10b|gv11b|ga10b", re.IGNORECASE)
_ALERT = re.compile(r"-throttle-alert$")


@dataclass(frozen=True, slots=True)
class ClockRange:
    """The clocks in MHz within which a processor or the GPU may run now."""

    name: str
    lowest: float
    highest: float

    @property
    def locked(self) -> bool:
        return self.lowest == self.highest


@dataclass(frozen=True, slots=True)
class Board:
    """A Jetson. ``chip`` is the name in the device tree (tegra234), ``l4t`` its release ("36.4.3"),
    ``jetpack`` the installed package's version or, without it, what the release belongs to (then
    ``jetpack_installed`` is absent). ``power_mode`` holds a ``PowerMode``, ``clocks`` a tuple of
    ``ClockRange``, ``alerts`` the steps by which heat slows each unit now, ``overcurrent`` how
    often each limit of current slowed the board since the start, ``temperatures`` degrees Celsius
    by sensor."""

    model: Reading
    chip: Reading
    l4t: Reading
    jetpack: Reading
    jetpack_installed: Reading
    power_mode: Reading
    clocks: Reading
    alerts: Reading
    overcurrent: Reading
    temperatures: Reading


def _chip(root: Path) -> Reading:
    path = root / "proc/device-tree/compatible"
    found = _TEGRA.search((file_text(path) or "").replace("\0", " "))
    return Reading(found[1]) if found else Reading(None, f"{path} names no Tegra chip")


def is_jetson(root: Path = Path("/")) -> bool:
    """Whether this is a Tegra board with Jetson Linux on it, or a container on one."""
    return _chip(root).value is not None or (root / "etc/nv_tegra_release").is_file()


def release_in(text: str) -> str:
    """ "36.4.3" from the first line of /etc/nv_tegra_release. Raises ValueError."""
    found = _RELEASE.search(text.partition("\n")[0])
    if found is None:
        raise ValueError("no release in it")
    return ".".join([found[1], found[2], found[3] or "0"])


def _installed(root: Path, package: str) -> Reading:
    """The version of a Debian package."""
    for paragraph in (file_text(root / "var/lib/dpkg/status") or "").split("\n\n"):
        if paragraph.startswith(f"Package: {package}\n"):
            fields = dict(line.partition(": ")[::2] for line in paragraph.splitlines())
            if fields.get("Status", "").endswith(" installed") and "Version" in fields:
                return Reading(fields["Version"])
    return Reading(None, f"{package} is not installed")


def _l4t(root: Path) -> Reading:
    stated = value_in(root / "etc/nv_tegra_release", release_in)
    if stated.value is not None:
        return stated
    package = _installed(root, "nvidia-l4t-core")  # "36.4.3-20250107174145"
    if package.value is not None:
        return Reading(package.value.partition("-")[0])
    return stated


def _jetpack(l4t: Reading, installed: Reading) -> Reading:
    if installed.value is not None:
        return Reading(installed.value.partition("+")[0])
    if l4t.value is None:
        return l4t
    known = jetpack_of(l4t.value)
    return Reading(known) if known else Reading(None, f"no JetPack is known for L4T {l4t.value}")


def _range(name: str, folder: Path, files: tuple[str, str], unit: float) -> ClockRange | None:
    lowest, highest = (file_text(folder / f) or "" for f in files)
    if not (lowest.isdigit() and highest.isdigit()):
        return None
    return ClockRange(name, int(lowest) / unit, int(highest) / unit)


def clock_ranges(root: Path = Path("/")) -> Reading:
    """The ``ClockRange`` of every processor that is on (kHz in cpufreq) and of the GPU (Hz in
    devfreq). ``jetson_clocks`` locks them: lowest equals highest."""
    cpus = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq")
    gpus = (p for p in (root / "sys/class/devfreq").glob("*") if _GPU.search(p.name))
    found = [
        _range(p.parent.name, p, ("scaling_min_freq", "scaling_max_freq"), 1e3)
        for p in sorted(cpus, key=lambda p: int(p.parent.name[3:]))
    ] + [_range(p.name, p, ("min_freq", "max_freq"), 1e6) for p in sorted(gpus)]
    ranges = tuple(r for r in found if r is not None)
    return Reading(ranges) if ranges else Reading(None, "neither cpufreq nor devfreq tells a range")


def _alert_name(file: Path) -> str:
    kind = file_text(file.parent / "type") or ""
    return kind if _ALERT.search(kind) else ""


def board(root: Path = Path("/")) -> Board | None:
    """The Jetson board this is, None on any other machine; ``root`` is where ``proc``, ``sys``,
    ``etc``, ``usr`` and ``var`` are."""
    if not is_jetson(root):
        return None
    l4t, installed = _l4t(root), _installed(root, "nvidia-jetpack")
    return Board(
        model=value_in(root / "proc/device-tree/model", str),
        chip=_chip(root),
        l4t=l4t,
        jetpack=_jetpack(l4t, installed),
        jetpack_installed=installed,
        power_mode=power_mode(root),
        clocks=clock_ranges(root),
        alerts=numbers(
            root.glob("sys/class/thermal/cooling_device*/cur_state"),
            _alert_name,
            "no throttle alert among the cooling devices",
        ),
        overcurrent=numbers(
            root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt"),
            lambda file: file.name.removesuffix("_event_cnt"),
            "no counter of over-current events",
        ),
        temperatures=state(root).temperatures,
    )


def board_notes(found: Board) -> list[str]:
    """What of the board's state casts doubt on a measurement, a sentence each, with what to do."""
    notes = []
    mode = found.power_mode.value
    if isinstance(mode, PowerMode) and mode.limited and mode.unlimited is not None:
        number, name = mode.unlimited
        notes.append(
            f"power mode {mode.name or mode.number} limits the clocks: name it beside every "
            f"result, or set {name} (sudo nvpmodel -m {number})"
        )
    free = [r for r in found.clocks.value or () if not r.locked]
    if free:
        names = ", ".join(r.name for r in free[:3]) + (", ..." if len(free) > 3 else "")
        notes.append(f"clocks are not locked ({names}): sudo jetson_clocks, before measuring")
    slowed = [name for name, step in sorted((found.alerts.value or {}).items()) if step > 0]
    if slowed:
        notes.append(f"heat slows the board now ({', '.join(slowed)}): let it cool down")
    counts = {k: n for k, n in sorted((found.overcurrent.value or {}).items()) if n > 0}
    if counts:
        text = ", ".join(f"{k} {n:g} times" for k, n in counts.items())
        notes.append(f"the board was slowed by too high a current since it was started ({text})")
    return notes


def chip_note(found: Board) -> str:
    """ "tegra234 (Jetson Orin Nano, Orin NX, AGX Orin; compute capability 8.7)"."""
    name = found.chip.value or "unknown chip"
    chip = CHIPS.get(name)
    return f"{name} ({chip.boards}; compute capability {chip.compute})" if chip else str(name)
