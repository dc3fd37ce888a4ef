"""Joules per embedding of each engine: a pass of its own, one engine after the other, because
engines that take turns within a second share what a meter shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgereid.bench.energy.meters import Found
from edgereid.bench.energy.window import IDLE_S, INTERVAL_S, Energy, measure_energy, measure_idle
from edgereid.bench.latency import Clock, Runner
from edgereid.errors import UsageError
from edgereid.progress import progress

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EnergyOptions:
    """``window_s``: how long each engine runs under the meters, after ``settle_s`` without them:
    the slowest meters average over a second. ``idle_s``: how long idle power is watched."""

    window_s: float = 5.0
    settle_s: float = 1.0
    idle_s: float = IDLE_S
    interval_s: float = INTERVAL_S

    def __post_init__(self) -> None:
        for name in ("window_s", "settle_s", "idle_s"):
            if not 0 <= getattr(self, name) < 86_400:
                raise UsageError(f"{name} {getattr(self, name)}: from 0 to 86,400 s are allowed.")


DEFAULTS = EnergyOptions()


def engines_energy(
    runners: Sequence[Runner[T]],
    batch: int,
    found: Found,
    options: EnergyOptions = DEFAULTS,
    clock: Clock = time.perf_counter_ns,
) -> list[tuple[Energy, ...]]:
    """For each runner (one call is ``batch`` embeddings) one ``Energy`` a meter; idle power is
    measured once before them. Without a meter nothing runs and every tuple is empty."""
    if not found.meters:
        return [() for _ in runners]
    idle = measure_idle(found, options.idle_s, options.interval_s)
    return [
        measure_energy(_work(runner, batch, options, clock), found, idle, options.interval_s)
        for runner in progress(runners, label=f"energy, batch {batch}", total=len(runners))
    ]


def _run_for(runner: Runner[T], seconds: float, clock: Clock) -> int:
    """Calls made until the time is over, one at least."""
    start, calls = clock(), 0
    while not calls or clock() - start < seconds * 1e9:
        runner.run(runner.buffers[calls % len(runner.buffers)])
        calls += 1
    return calls


def _work(runner: Runner[T], batch: int, options: EnergyOptions, clock: Clock) -> Callable[[], int]:
    """Settle now, work under the meters later."""
    _run_for(runner, options.settle_s, clock)
    return lambda: batch * _run_for(runner, options.window_s, clock)
