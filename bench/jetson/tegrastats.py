"""Lines of ``tegrastats``, read field by field: numbers with their units, and what was not read.

The format differs by board and release. A field is either understood as a whole or listed in
``unread``; a number that makes no sense (a load above 100 %, more memory used than there is) is
unread too. Where a line says that there is no value, the field is in ``absent`` and no number.

source: NVIDIA, Jetson Linux Developer Guide, "tegrastats Utility" (L4T 32.5 and 38.4). That the
second and third number of a rail are its mean and its peak, and the second of a sensor its peak,
follows from consecutive lines (see the cases in tests/bench/jetson).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from edgereid.bench.jetson.stats import Core, Memory, Rail, Stats, Temperature, Unit

MAX_CHARS = 16_384
#: What Tegra's thermal driver tells of a sensor that is switched off, in degrees Celsius.
SENSOR_OFF_C = -256.0
#: The PMIC's sensor is a constant of the device tree (50 or 100 C), no measurement.
CONSTANT_SENSORS = frozenset({"PMIC"})
#: Beyond these (degrees Celsius) a board would not print anything.
_PLAUSIBLE_C = (-60.0, 150.0)
_NOT_CONNECTED = "NC"


@dataclass(slots=True)
class _Line:
    """What has been read of a line so far."""

    time: list[str] = field(default_factory=list)
    memory: dict[str, Memory] = field(default_factory=dict)
    cores: list[Core] = field(default_factory=list)
    units: dict[str, Unit] = field(default_factory=dict)
    temperatures: dict[str, Temperature] = field(default_factory=dict)
    rails: dict[str, Rail] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


Reader = Callable[[_Line, "re.Match[str]"], bool]  # False: understood, but it makes no sense

_N = "[0-9]{1,9}"
_DEGREES = rf"-?{_N}(?:\.[0-9]{{1,6}})?"
_CORE = re.compile(rf"(?P<load>{_N})%(?:@(?P<mhz>{_N}))?|off")


def _read_time(line: _Line, match: re.Match[str]) -> bool:
    if line.time:
        return False
    line.time.append(match["time"])
    return True


def _read_memory(line: _Line, match: re.Match[str]) -> bool:
    used, total = int(match["used"]), int(match["total"])
    if match["name"] in line.memory or used > total:
        return False
    line.memory[match["name"]] = Memory(used, total)
    return True


def _read_cores(line: _Line, match: re.Match[str]) -> bool:
    common = match["common"]
    found = []
    for text in match["cores"].split(","):
        core = _CORE.fullmatch(text.strip())
        if core is None or (common and core["mhz"]):
            return False
        load, clock = core["load"], core["mhz"] or common
        if load is None:
            found.append(Core(None, None))
        elif int(load) <= 100:
            found.append(Core(int(load), int(clock) if clock else None))
        else:
            return False
    if line.cores:
        return False
    line.cores += found
    return True


def _read_mts(line: _Line, match: re.Match[str]) -> bool:
    loads = {"MTS fg": int(match["fg"]), "MTS bg": int(match["bg"])}
    if max(loads.values()) > 100 or loads.keys() & line.units.keys():
        return False
    line.units.update({name: Unit(name, load, ()) for name, load in loads.items()})
    return True


def _read_temperature(line: _Line, match: re.Match[str]) -> bool:
    name, now = match["name"], float(match["now"])
    if name in CONSTANT_SENSORS or now == SENSOR_OFF_C:
        line.absent.append(match.group())
        return True
    peak = None if match["peak"] is None else float(match["peak"])
    low, high = _PLAUSIBLE_C
    if name in line.temperatures or not all(low <= t <= high for t in (now, peak or now)):
        return False
    line.temperatures[name] = Temperature(name, now, peak)
    return True


def _read_rail(line: _Line, match: re.Match[str]) -> bool:
    name = match["name"]
    if name == _NOT_CONNECTED:
        line.absent.append(name)
        return True
    if name in line.rails:
        return False
    now, mean, peak = (None if match[k] is None else int(match[k]) for k in ("now", "mean", "peak"))
    if now is None:
        return False
    line.rails[name] = Rail(name, now, mean, peak)
    return True


def _read_unit(line: _Line, match: re.Match[str]) -> bool:
    name, load = match["name"], match["load"]
    clocks = tuple(int(text) for text in re.findall(_N, match["mhz"] or ""))
    if name in line.units or (load is None and not clocks) or (load and int(load) > 100):
        return False
    line.units[name] = Unit(name, None if load is None else int(load), clocks)
    return True


def _read_off(line: _Line, match: re.Match[str]) -> bool:
    line.absent.append(match["name"])
    return True


#: Numbers without a unit are power (mW) only after these names, and clocks (MHz) only after those.
_BARE_RAILS = r"VDD\w*|VIN\w*|POM_\w+|GPU|CPU|SOC|CV|SYS5V|NC"
_BARE_CLOCKS = r"APE|VIC(?:_FREQ)?|NVENC[0-9]?|NVDEC[0-9]?|NVJPG[0-9]?|MSENC|SE"
_RAIL = r"(?P<now>-?{n}){u}(?:/(?P<mean>-?{n}){u}(?:/(?P<peak>-?{n}){u})?)?"
_CLOCK = rf"{_N}|\[ *{_N}(?: *, *{_N})* *\]"

_TABLE: tuple[tuple[str, Reader], ...] = (
    (r"(?P<time>[0-9]{2}-[0-9]{2}-[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2})", _read_time),
    (rf"(?P<name>RAM)\s+(?P<used>{_N})/(?P<total>{_N})MB(?:\s*\(lfb {_N}x{_N}[kM]B\))?",
     _read_memory),
    (rf"(?P<name>SWAP)\s+(?P<used>{_N})/(?P<total>{_N})MB(?:\s*\(cached {_N}MB\))?",
     _read_memory),
    (rf"(?P<name>IRAM)\s+(?P<used>{_N})/(?P<total>{_N})kB(?:\s*\(lfb {_N}kB\))?", _read_memory),
    (rf"CPU\s+\[(?P<cores>[^\]]*)\](?:@(?P<common>{_N}))?", _read_cores),
    (rf"MTS\s+fg\s+(?P<fg>{_N})%\s+bg\s+(?P<bg>{_N})%", _read_mts),
    (rf"(?P<name>[A-Za-z][\w.-]*)@(?P<now>{_DEGREES})C(?:/(?P<peak>{_DEGREES})C)?",
     _read_temperature),
    (rf"(?P<name>[A-Za-z]\w*)\s+{_RAIL.format(n=_N, u='mW')}", _read_rail),
    (rf"(?P<name>{_BARE_RAILS})\s+(?=\S*/){_RAIL.format(n=_N, u='')}", _read_rail),
    (rf"(?P<name>[A-Z][A-Z0-9_]*)\s+(?=[0-9]+%|@)(?:(?P<load>{_N})%)?(?:@(?P<mhz>{_CLOCK}))?",
     _read_unit),
    (rf"(?P<name>{_BARE_CLOCKS})\s+(?P<load>(?!))?(?P<mhz>{_N})", _read_unit),
    (r"(?P<name>[A-Z][A-Z0-9_]*)\s+off", _read_off),
)  # fmt: skip
_FIELDS = tuple((re.compile(rf"{p}(?!\S)", re.ASCII), read) for p, read in _TABLE)
_WORD = re.compile(r"\S+")


def parse(text: str) -> Stats:
    """Read one line; never raises. A line longer than ``MAX_CHARS`` is unread as a whole.

    Of a line that was cut off, the last number may be too short: give whole lines only.
    """
    if len(text) > MAX_CHARS:
        return Stats(unread=(f"{text[:60]}...",))
    line = _Line()
    position = 0
    while word := _WORD.search(text, position):
        position = _read_field(line, text, word)
    return Stats(
        line.time[0] if line.time else None,
        line.memory.get("RAM"),
        line.memory.get("SWAP"),
        line.memory.get("IRAM"),
        tuple(line.cores),
        tuple(line.units.values()),
        tuple(line.temperatures.values()),
        tuple(line.rails.values()),
        tuple(line.absent),
        tuple(line.unread),
    )


def _read_field(line: _Line, text: str, word: re.Match[str]) -> int:
    """Read the field that begins with ``word``; where the next one may begin."""
    for pattern, read in _FIELDS:
        match = pattern.match(text, word.start())
        if match is not None and read(line, match):
            return match.end()
    line.unread.append(word.group())
    return word.end()
