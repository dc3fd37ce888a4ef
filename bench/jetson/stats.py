"""What one line of ``tegrastats`` says, with its units."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Memory:
    """``used`` of ``total`` in MB (2^20 bytes) as printed; IRAM alone is in kB (2^10)."""

    used: int
    total: int


@dataclass(frozen=True, slots=True)
class Core:
    """A processor: load in percent of its present clock in MHz (None: not printed); both None when
    it is switched off."""

    load: int | None
    mhz: int | None


@dataclass(frozen=True, slots=True)
class Unit:
    """Another unit (GR3D_FREQ is the GPU, EMC_FREQ the memory controller): load in percent, None
    where it is not printed, and the clocks of its parts in MHz."""

    name: str
    load: int | None
    mhz: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Temperature:
    """Degrees Celsius now and, on newer releases, the highest since tegrastats was started."""

    name: str
    now: float
    peak: float | None = None


@dataclass(frozen=True, slots=True)
class Rail:
    """Power of a rail in mW: now, and the mean and the peak since tegrastats was started where
    they are printed. Slightly negative numbers occur: the monitor's offset around zero."""

    name: str
    now: int
    mean: int | None = None
    peak: int | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """One line. ``time`` is as printed (month-day-year, local). ``absent``: fields that say they
    have no value; ``unread``: words that were not understood, in their order."""

    time: str | None = None
    ram: Memory | None = None
    swap: Memory | None = None
    iram: Memory | None = None
    cores: tuple[Core, ...] = ()
    units: tuple[Unit, ...] = ()
    temperatures: tuple[Temperature, ...] = ()
    rails: tuple[Rail, ...] = ()
    absent: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def unit(self, name: str) -> Unit | None:
        return next((u for u in self.units if u.name == name), None)

    @property
    def gpu(self) -> Unit | None:
        return self.unit("GR3D_FREQ")

    @property
    def emc(self) -> Unit | None:
        return self.unit("EMC_FREQ")
