"""Energy of a measured window: joules per embedding, idle power included and reported beside it.

Meters that count energy are read at both ends of the window, and in between so that no wrap of the
counter is missed; meters of power are sampled by a thread and integrated by the trapezoidal rule.
What is not there is absent with a reason, never zero.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType

from edgereid.bench.energy.ina3221 import ina3221
from edgereid.bench.energy.meters import ENERGY, Found, Meter
from edgereid.bench.energy.nvml import nvml
from edgereid.bench.energy.rapl import rapl
from edgereid.bench.jetson.meter import tegrastats
from edgereid.errors import UsageError

FINDERS: tuple[Callable[[Path], Found], ...] = (rapl, ina3221, nvml, tegrastats)
INTERVAL_S = 0.05
IDLE_S = 2.0
#: Fewer readings of a meter of power than this tell nothing about a window.
MIN_POWER_READINGS = 5

Reading = tuple[float, float]  # (seconds, joules or watts)
Clock = Callable[[], float]  # seconds, monotonic


@dataclass(frozen=True, slots=True)
class Energy:
    """What one meter said of one window. ``joules`` includes what the machine draws when idle;
    ``idle_watts`` was measured beside it. All are None where ``absent`` says why."""

    meter: str
    covers: str
    joules: float | None
    seconds: float | None
    readings: int
    idle_watts: float | None
    joules_per_embedding: float | None
    absent: str | None = None

    @property
    def watts(self) -> float | None:
        """Mean power over the window."""
        if self.joules is None or not self.seconds:
            return None
        return self.joules / self.seconds


def find_meters(root: Path = Path("/")) -> Found:
    """Every meter of this machine, and what is absent; ``root`` is where ``sys`` is."""
    return sum((find(root) for find in FINDERS), Found())


def joules_of_power(readings: Sequence[Reading]) -> float:
    """Trapezoidal rule over (seconds, watts): exact for power that changes linearly in between,
    however unevenly the readings come."""
    return sum((t1 - t0) * (p0 + p1) / 2 for (t0, p0), (t1, p1) in pairwise(readings))


def joules_of_counter(readings: Sequence[Reading], wraps_at: float | None) -> float:
    """What a counter counted; a fall is one wrap. Raises ValueError on a fall that is none."""
    total = 0.0
    for (_, first), (_, last) in pairwise(readings):
        if last < first and wraps_at is None:
            raise ValueError(f"the counter fell from {first:g} to {last:g} J and has no wrap")
        total += last - first + (wraps_at or 0.0) * (last < first)
    return total


@dataclass(slots=True)
class _Track:
    """The readings of one meter; ``lost`` once it could not be read."""

    meter: Meter
    readings: list[Reading] = field(default_factory=list)
    lost: str | None = None

    def sample(self, clock: Clock) -> None:
        if self.lost is not None:
            return
        before = clock()
        try:
            value = self.meter.read()
        except (OSError, ValueError) as error:
            self.lost = f"lost after {len(self.readings)} readings: {error}"
            return
        # A rail's chip takes milliseconds to answer: the reading is of the middle of that time.
        self.readings.append(((before + clock()) / 2, value))

    def absent(self) -> str | None:
        if self.lost is not None:
            return self.lost
        needed = 2 if self.meter.kind == ENERGY else MIN_POWER_READINGS
        if len(self.readings) < needed:
            return f"{len(self.readings)} readings in this window, {needed} are needed"
        return None

    def joules(self) -> float:
        """Raises ValueError when the readings are those of no working counter."""
        if self.meter.kind != ENERGY:
            return joules_of_power(self.readings)
        total = joules_of_counter(self.readings, self.meter.wraps_at)
        if total == 0:
            raise ValueError("the counter did not move")
        return total


class Window:
    """Meters under observation while the ``with`` block runs."""

    def __init__(
        self,
        meters: Sequence[Meter],
        interval_s: float = INTERVAL_S,
        clock: Clock = time.monotonic,
    ) -> None:
        if not 0 < interval_s <= 60:
            raise UsageError(f"a reading every {interval_s} s: above 0 to 60 s is allowed.")
        self._tracks = [_Track(meter) for meter in meters]
        self._interval_s, self._clock = interval_s, clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="energy", daemon=True)

    def sample(self) -> None:
        """Read every meter once."""
        for track in self._tracks:
            track.sample(self._clock)

    def _watch(self) -> None:
        while not self._over.wait(self._interval_s):
            self.sample()

    def __enter__(self) -> Window:
        self.sample()
        if self._tracks:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tracks:
            self._over.set()
            self._thread.join()
        self.sample()

    def result(self, embeddings: int = 0, idle: Sequence[Energy] = ()) -> tuple[Energy, ...]:
        """One ``Energy`` a meter, once the block is over; ``idle`` is the result of a window in
        which nothing ran. ``embeddings`` of 0: none were counted."""
        watts = {e.meter: e.watts for e in idle}
        return tuple(_result(t, embeddings, watts.get(t.meter.name)) for t in self._tracks)


def _result(track: _Track, embeddings: int, idle_watts: float | None) -> Energy:
    name, covers, count = track.meter.name, track.meter.covers, len(track.readings)
    absent = track.absent()
    joules = None
    if absent is None:
        try:
            joules = track.joules()
        except ValueError as error:
            absent = str(error)
    if joules is None:
        return Energy(name, covers, None, None, count, idle_watts, None, absent)
    seconds = track.readings[-1][0] - track.readings[0][0]
    each = joules / embeddings if embeddings else None
    return Energy(name, covers, joules, seconds, count, idle_watts, each)


def measure_idle(
    found: Found, seconds: float = IDLE_S, interval_s: float = INTERVAL_S
) -> tuple[Energy, ...]:
    """What the machine draws while this process waits; without a meter it waits for nothing."""
    with Window(found.meters, interval_s) as window:
        if found.meters:
            time.sleep(seconds)
    return window.result()


def measure_energy(
    work: Callable[[], int],
    found: Found,
    idle: Sequence[Energy] = (),
    interval_s: float = INTERVAL_S,
) -> tuple[Energy, ...]:
    """Run ``work``, which returns how many embeddings it made, under every meter found.

    ``idle`` comes from ``measure_idle``. The work is not run where there is no meter.
    """
    if not found.meters:
        return ()
    with Window(found.meters, interval_s) as window:
        embeddings = work()
    return window.result(embeddings, idle)


def energy_notes(found: Found) -> list[str]:
    """What a reader must know about the meters, a sentence each, without a full stop."""
    if found.meters:
        names = ", ".join(f"{m.name} ({m.covers})" for m in found.meters)
        return [f"energy is read from {names}", *(f"no energy from {a}" for a in found.absent)]
    return [f"energy is absent: {'; '.join(found.absent)}"]
