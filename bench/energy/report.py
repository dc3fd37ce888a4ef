"""Energy in a bench: each engine at each batch size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgereid.bench.energy.meters import Found
from edgereid.bench.energy.passes import DEFAULTS, EnergyOptions, engines_energy
from edgereid.bench.energy.window import Energy, energy_notes, find_meters
from edgereid.bench.inputs import arrays
from edgereid.bench.latency import Clock, Runner
from edgereid.bench.opening import Opened
from edgereid.data.types import ReidDataset


@dataclass(frozen=True, slots=True)
class EngineEnergy:
    """One engine at one batch size: one ``Energy`` a meter."""

    key: str
    label: str
    batch: int
    meters: tuple[Energy, ...]


@dataclass(frozen=True, slots=True)
class EnergyReport:
    """``engines`` is empty where there is no meter; ``notes`` say which there are, and why others
    are absent."""

    engines: tuple[EngineEnergy, ...]
    notes: tuple[str, ...]


def measure_energies(
    opened: Sequence[Opened],
    batches: Sequence[int],
    dataset: ReidDataset | None,
    seed: int = 0,
    options: EnergyOptions = DEFAULTS,
    found: Found | None = None,
    clock: Clock = time.perf_counter_ns,
) -> EnergyReport:
    """Joules per embedding of every engine at every batch size it takes; ``found`` None: the meters
    of this machine. Without a meter nothing runs."""
    meters = find_meters() if found is None else found
    rows: list[EngineEnergy] = []
    for batch in batches if meters.meters else ():
        able = [o for o in opened if o.batch in (None, batch)]
        runners: list[Runner[Any]] = [
            Runner(o.label, o.engine.run, arrays(dataset, o.preprocessing, batch, seed))
            for o in able
        ]
        energies = engines_energy(runners, batch, meters, options, clock)
        rows += [
            EngineEnergy(o.key, o.label, batch, e) for o, e in zip(able, energies, strict=True)
        ]
    return EnergyReport(tuple(rows), tuple(energy_notes(meters)))
