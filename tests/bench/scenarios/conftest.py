"""Laws of latency whose percentiles are known in closed form, and a server that lives by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from edgereid.bench.scenarios.trial import Bench

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]


@dataclass(frozen=True)
class Law:
    """Draws of milliseconds, and the true value of a percentile."""

    draw: Draw
    quantile: Callable[[float], float]


def _bimodal(generator: np.random.Generator, size: tuple[int, ...]) -> NDArray[np.float64]:
    slow = generator.random(size) < 0.15
    return np.where(slow, generator.normal(15, 0.5, size), generator.normal(5, 0.1, size))


def _bimodal_quantile(p: float) -> float:
    def excess(x: float) -> float:
        return float(0.85 * stats.norm.cdf(x, 5, 0.1) + 0.15 * stats.norm.cdf(x, 15, 0.5) - p)

    return float(brentq(excess, 0, 30))


LAWS = {
    "lognormal": Law(
        lambda g, size: 5 * g.lognormal(0, 0.3, size),
        lambda p: 5 * float(stats.lognorm(0.3).ppf(p)),
    ),
    "exponential": Law(
        lambda g, size: 3 + g.exponential(2, size), lambda p: 3 - 2 * math.log(1 - p)
    ),
    "bimodal": Law(_bimodal, _bimodal_quantile),
}


@dataclass
class Timeline:
    """A clock that moves only when somebody waits or works."""

    now: int = 0

    def __call__(self) -> int:
        return self.now

    def wait(self, deadline: int) -> None:
        self.now = max(self.now, deadline)


@dataclass
class SimulatedServer:
    """Serves a batch in a time drawn from a law; remembers the batches it was given."""

    timeline: Timeline
    times_ns: Iterator[int]
    batches: list[int] = field(default_factory=list)

    def __call__(self, count: int) -> None:
        self.timeline.now += next(self.times_ns)
        self.batches.append(count)


def exponential_times(mean_ms: float, seed: int) -> Iterator[int]:
    generator = np.random.default_rng((seed, 77))
    while True:
        yield from generator.exponential(1e6 * mean_ms, 10_000).astype(np.int64).tolist()


def constant_times(ms: float) -> Iterator[int]:
    while True:
        yield int(1e6 * ms)


def bench_of(times_ns: Iterator[int], max_batch: int = 1) -> tuple[Bench, SimulatedServer]:
    timeline = Timeline()
    server = SimulatedServer(timeline, times_ns)
    return Bench(server, max_batch, timeline, timeline.wait), server


@dataclass(frozen=True)
class Laws:
    """Everything above and below, for the tests to take as one fixture."""

    by_name: dict[str, Law]
    timeline: type[Timeline]
    bench_of: Callable[..., tuple[Bench, SimulatedServer]]
    exponential: Callable[[float, int], Iterator[int]]
    constant: Callable[[float], Iterator[int]]
    mm1_rate: Callable[[float, float, float], float]
    md1_rate: Callable[[float, float, float], float]


def mm1_rate(service_per_s: float, percentile: float, bound_ms: float) -> float:
    """The rate at which the percentile of the time in an M/M/1 queue is the bound: that time is
    exponential with rate ``service - arrivals`` (D. Gross et al., "Fundamentals of Queueing
    Theory", 2.2)."""
    return service_per_s + math.log(1 - percentile / 100) / (bound_ms / 1e3)


def md1_waits_at_most(rate_per_ms: float, service_ms: float, wait_ms: float) -> float:
    """P(waiting time <= wait) in an M/D/1 queue (A. K. Erlang, 1909)."""
    if wait_ms < 0:
        return 0.0
    total = 0.0
    for k in range(int(wait_ms // service_ms) + 1):
        x = rate_per_ms * (wait_ms - k * service_ms)
        total += (-x) ** k / math.factorial(k) * math.exp(x)
    return (1 - rate_per_ms * service_ms) * total


def md1_rate(service_ms: float, percentile: float, bound_ms: float) -> float:
    """Arrivals a second at which the percentile of the time in an M/D/1 queue is the bound."""

    def excess(rate_per_ms: float) -> float:
        wait = md1_waits_at_most(rate_per_ms, service_ms, bound_ms - service_ms)
        return wait - percentile / 100

    return 1e3 * float(brentq(excess, 1e-6 / service_ms, 0.999 / service_ms))


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness collects garbage before it measures: in simulated time that is all it costs."""
    monkeypatch.setattr("gc.collect", lambda: 0)


@pytest.fixture
def laws() -> Laws:
    return Laws(LAWS, Timeline, bench_of, exponential_times, constant_times, mm1_rate, md1_rate)
