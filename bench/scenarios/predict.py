"""A first guess of the server's rate: the queue simulated with service times measured beforehand.

It costs no time of the engine and only decides where the real trials begin.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgereid.bench.scenarios.queue import poisson_arrivals, serve
from edgereid.bench.scenarios.trial import Bench, Bound

WARM_UP_RUNS = 3
RUNS = 10
QUERIES = 4000
HALVINGS = 8

#: Batch size -> measured times of such a batch, in ns.
ServiceTimes = Mapping[int, Sequence[int]]


def service_times(bench: Bench) -> ServiceTimes:
    """Time every batch size, after a warm-up (a runtime may compile a network for each)."""
    return {batch: _timed(bench, batch) for batch in range(1, bench.max_batch + 1)}


def _timed(bench: Bench, batch: int) -> list[int]:
    times = []
    for _ in range(WARM_UP_RUNS + RUNS):
        start = bench.clock()
        bench.submit(batch)
        times.append(max(1, bench.clock() - start))
    return times[WARM_UP_RUNS:]


def capacity(times: ServiceTimes) -> float:
    """Queries a second when there is always one waiting."""
    return max(1e9 * batch / float(np.median(found)) for batch, found in times.items())


@dataclass(slots=True)
class _Simulated:
    """A server that lives by its own clock and takes the times that were measured."""

    times: ServiceTimes
    draw: random.Random
    now: int = 0

    def clock(self) -> int:
        return self.now

    def wait(self, deadline_ns: int) -> None:
        self.now = max(self.now, deadline_ns)

    def submit(self, batch: int) -> None:
        self.now += self.draw.choice(self.times[batch])


def _holds(times: ServiceTimes, bound: Bound, rate_per_s: float) -> bool:
    server = _Simulated(times, random.Random(0))
    arrivals = poisson_arrivals(rate_per_s, QUERIES, (0,))
    largest = max(times)
    latencies, _ = next(
        serve(server.submit, arrivals, [QUERIES], largest, server.clock, server.wait)
    )
    return float(np.percentile(latencies, bound.percentile)) <= 1e6 * bound.ms


def predict(times: ServiceTimes, bound: Bound) -> float:
    """The rate (queries a second) at which the simulated queue just holds the bound; a small share
    of the capacity when it does at none."""
    low, high = 0.0, capacity(times)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _holds(times, bound, middle) else (low, middle)
    return (low + high) / 2
