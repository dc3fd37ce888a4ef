"""The latency harness: engines alternated in one run, every raw sample kept.

It knows no engine: a ``Runner`` is a name, a callable and the inputs it rotates through, and the
clock is passed in, so that the harness itself is tested against known delays.

A run is a sequence of rounds. In a round every runner has one block: it runs until the block's
time is over. The order of the runners changes from round to round (a balanced design: over a full
cycle each runner follows every other equally often), so none profits from its neighbour. The first
run of a block finds the caches full of the neighbour's data and, for a while, the neighbour's
threads still spinning: for runners that fit several runs in a block it is a lead-in, kept apart
from the samples by this rule fixed beforehand. No sample is dropped for its value.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from edgereid.errors import UsageError
from edgereid.progress import progress

T = TypeVar("T")
Clock = Callable[[], int]  # nanoseconds, monotonic

#: A runner slower than this share of a block has no lead-in: it would cost a whole sample.
LEAD_IN_SHARE = 0.25
REACHED_GOAL = "goal"
REACHED_TIME_LIMIT = "time limit"


@dataclass(frozen=True, slots=True)
class LatencyOptions:
    """When to stop. Every runner reaches ``min_time_s`` of measured time, ``min_count`` samples and
    ``min_rounds`` rounds, unless ``max_time_s`` for all runners together is over first."""

    warmup_s: float = 0.2
    warmup_runs: int = 10
    min_time_s: float = 3.0
    min_count: int = 100
    min_rounds: int = 8
    max_time_s: float = 30.0
    block_s: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("min_count", "min_rounds", "warmup_runs"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)}: at least 1 is needed.")
        for name in ("min_time_s", "max_time_s", "block_s", "warmup_s"):
            if not 0 <= getattr(self, name) < 86_400:
                raise UsageError(f"{name} {getattr(self, name)}: from 0 to 86,400 s are allowed.")


@dataclass(frozen=True, slots=True)
class Runner(Generic[T]):
    """Something to time: ``run`` is called with each of ``buffers`` in turn."""

    label: str
    run: Callable[[T], object]
    buffers: Sequence[T]

    def __post_init__(self) -> None:
        if not len(self.buffers):
            raise UsageError(f"{self.label}: no input to run it with.")


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw times of one runner, in nanoseconds and in order."""

    rounds_ns: tuple[tuple[int, ...], ...]
    lead_in_ns: tuple[int, ...]
    warmup_ns: tuple[int, ...]
    stopped_by: str

    @property
    def all_ns(self) -> tuple[int, ...]:
        return tuple(sample for block in self.rounds_ns for sample in block)


@dataclass(slots=True)
class _State(Generic[T]):
    """A runner under measurement."""

    runner: Runner[T]
    clock: Clock
    calls: int = 0
    warmup: list[int] = field(default_factory=list)
    lead_in: list[int] = field(default_factory=list)
    rounds: list[tuple[int, ...]] = field(default_factory=list)
    count: int = 0
    total_ns: int = 0

    def time_one(self) -> int:
        buffer = self.runner.buffers[self.calls % len(self.runner.buffers)]
        self.calls += 1
        start = self.clock()
        self.runner.run(buffer)
        return self.clock() - start

    def warm_up(self, options: LatencyOptions) -> None:
        start = self.clock()
        while (
            len(self.warmup) < options.warmup_runs or self.clock() - start < options.warmup_s * 1e9
        ):
            self.warmup.append(self.time_one())

    def block(self, options: LatencyOptions) -> None:
        """One turn: at least one sample, then on until the block's time is over."""
        typical = sorted(self.warmup)[len(self.warmup) // 2]
        if typical < LEAD_IN_SHARE * options.block_s * 1e9:
            self.lead_in.append(self.time_one())
        samples: list[int] = []
        start = self.clock()
        while not samples or self.clock() - start < options.block_s * 1e9:
            samples.append(self.time_one())
        self.rounds.append(tuple(samples))
        self.count += len(samples)
        self.total_ns += sum(samples)

    def done(self, options: LatencyOptions) -> bool:
        return (
            self.count >= options.min_count
            and self.total_ns >= options.min_time_s * 1e9
            and len(self.rounds) >= options.min_rounds
        )

    def samples(self, stopped_by: str) -> Samples:
        return Samples(tuple(self.rounds), tuple(self.lead_in), tuple(self.warmup), stopped_by)


def balanced_orders(n: int) -> list[tuple[int, ...]]:
    """Orders of ``range(n)`` in which each element directly follows every other equally often.

    Williams' Latin square (E. J. Williams, "Experimental designs balanced for the estimation of
    residual effects of treatments", 1949): n rows for an even n, 2n for an odd one.
    """
    first = [0] + [k // 2 if k % 2 == 0 else n - (k + 1) // 2 for k in range(1, n)]
    rows = [tuple((value + shift) % n for value in first) for shift in range(n)]
    return rows if n % 2 == 0 else rows + [tuple(reversed(row)) for row in rows]


def _orders(n: int, seed: int) -> Iterator[tuple[int, ...]]:
    """Balanced orders for ever, each cycle shuffled anew."""
    rng = random.Random(seed)
    while True:
        cycle = balanced_orders(n)
        rng.shuffle(cycle)
        yield from cycle


def _rounds(states: Sequence[_State[T]], options: LatencyOptions, clock: Clock) -> Iterator[None]:
    """Measure round by round until every runner is done or the time is over; yield after each."""
    start = clock()
    for order in _orders(len(states), options.seed):
        for index in order:
            states[index].block(options)
        yield
        if all(state.done(options) for state in states):
            return
        if clock() - start >= options.max_time_s * 1e9:
            return


def measure(
    runners: Sequence[Runner[T]],
    options: LatencyOptions = LatencyOptions(),
    clock: Clock = time.perf_counter_ns,
    label: str = "latency",
) -> list[Samples]:
    """Time the runners against each other; the samples come in the order of ``runners``.

    All runners go on until the last one is done, so that every round holds all of them. The
    garbage collector rests meanwhile. Raises UsageError when there is no runner.
    """
    if not runners:
        raise UsageError("no engine to measure.")
    states = [_State(runner, clock) for runner in runners]
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for state in states:
            state.warm_up(options)
        for _ in progress(_rounds(states, options, clock), label=label):
            pass
    finally:
        if collecting:
            gc.enable()
    return [
        state.samples(REACHED_GOAL if state.done(options) else REACHED_TIME_LIMIT)
        for state in states
    ]
