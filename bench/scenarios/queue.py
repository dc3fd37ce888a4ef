"""One server and its queue: queries arrive at given times and are served first come, first served.

A query's latency is counted from the time at which it was due to arrive, not from the time at which
the server took notice of it: a slow answer delays those behind it and that is what they see ("open
loop"; a closed loop, in which the next query waits for the last answer, hides it).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgereid.bench.latency import Clock

Wait = Callable[[int], None]  # returns when the clock has reached this many nanoseconds
Submit = Callable[[int], object]  # serves so many queries in one batch

SPIN_NS = 1_000_000  # what sleeping may overshoot by


def wait_until(deadline_ns: int) -> None:
    """Wait by ``time.perf_counter_ns``: asleep until a millisecond before, then spinning."""
    while (left := deadline_ns - time.perf_counter_ns()) > 0:
        if left > SPIN_NS:
            time.sleep((left - SPIN_NS) / 1e9)


def poisson_arrivals(rate_per_s: float, count: int, seed: Sequence[int]) -> list[int]:
    """``count`` arrival times in ns from 0: gaps are exponential with mean ``1 / rate_per_s``."""
    gaps = np.random.default_rng(list(seed)).exponential(1e9 / rate_per_s, count)
    times: list[int] = np.cumsum(gaps).astype(np.int64).tolist()
    return times


def serve(
    submit: Submit,
    arrivals: Sequence[int],
    looks: Sequence[int],
    max_batch: int,
    clock: Clock,
    wait: Wait,
) -> Iterator[tuple[list[int], int]]:
    """Serve ``arrivals`` (ns from the start); whenever at least ``looks[i]`` queries are served,
    yield all latencies (ns) in order of arrival and the number of batches. A batch takes whoever
    waits, up to ``max_batch``. While the caller looks, time stands still for the queue."""
    latencies: list[int] = []
    batches = 0
    origin = clock()
    for look in looks:
        while (done := len(latencies)) < look:
            due = origin + arrivals[done]
            if clock() < due:
                wait(due)
            stop, now = done + 1, clock() - origin
            last = min(len(arrivals), done + max_batch)
            while stop < last and arrivals[stop] <= now:
                stop += 1
            submit(stop - done)
            finished = clock() - origin
            latencies += [finished - arrival for arrival in arrivals[done:stop]]
            batches += 1
        paused = clock()
        yield latencies, batches
        origin += clock() - paused
