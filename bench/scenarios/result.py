"""What the scenarios found: a part of the result file, with every raw sample."""

from __future__ import annotations

from dataclasses import dataclass

from edgereid.bench.latency import Samples
from edgereid.bench.stats import Ratio, Summary
from edgereid.evaluation.result import LeftOut

HOLDS = "holds"
BREAKS = "breaks"
UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Stream:
    """Single-stream or multi-stream: one query after the other, each of ``batch`` crops. What
    counts is the percentile ``percentile`` of a query's latency, if ``summary`` supports it."""

    batch: int
    percentile: int
    summary: Summary
    samples: Samples
    ratio: Ratio | None

    @property
    def value_ms(self) -> float | None:
        return self.summary.tail_ms.get(self.percentile)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Images a second over the pool in batches of ``batch``, with its 95 % interval (None: too few
    passes). A sample is one pass over ``images`` images."""

    batch: int
    images: int
    images_per_s: float
    low: float | None
    high: float | None
    samples: Samples


@dataclass(frozen=True, slots=True)
class Offline:
    """All images at once. ``best`` is the batch size with the most images a second, ``enough`` the
    smallest that is as fast within the noise."""

    by_batch: dict[int, Throughput]
    best: int
    enough: int


@dataclass(frozen=True, slots=True)
class Trial:
    """The server at one rate of arrivals. ``quantile_ms`` with its limits at the confidence of the
    verdict; ``count`` queries after the lead-in, ``late`` of them above the bound. ``samples`` are
    all latencies in ns in order of arrival, the first ``lead_in`` of them left out of the count."""

    rate_per_s: float
    verdict: str
    count: int
    late: int
    quantile_ms: float | None
    low_ms: float | None
    high_ms: float | None
    effective: int
    mean_batch: float
    lead_in: int
    samples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """The highest rate of Poisson arrivals that holds the bound lies between ``holds_at`` and
    ``breaks_at`` with ``confidence`` (None: no such rate was found). ``rate_per_s`` is the rate
    that held it again in ``verification``."""

    bound_ms: float
    percentile: int
    max_batch: int
    confidence: float
    rate_per_s: float | None
    holds_at: float | None
    breaks_at: float | None
    trials: tuple[Trial, ...]
    verification: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Starting in a process of its own, medians over ``runs`` processes. ``import_ms`` loads the
    runtime, ``load_ms`` opens the engine, ``first_ms`` is the first inference of one image,
    ``steady_ms`` the median of some after it. Bytes of resident memory: of the process before the
    engine, what the engine added to it, and the peak; None where the system does not tell."""

    runs: int
    import_ms: float
    load_ms: float
    first_ms: float
    steady_ms: float
    process_bytes: int | None
    engine_bytes: int | None
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class RowScenarios:
    """The scenarios of one row of the result."""

    key: str
    label: str
    single_stream: Stream | None = None
    multi_stream: Stream | None = None
    offline: Offline | None = None
    server: Server | None = None
    start: Start | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """One engine with ``threads`` threads at one batch size. ``ratio``: times as fast as the same
    engine with the fewest threads."""

    label: str
    threads: int
    batch: int
    summary: Summary
    samples: Samples
    ratio: Ratio | None


@dataclass(frozen=True, slots=True)
class Scenarios:
    """Everything the scenarios found, in the order of the rows."""

    names: tuple[str, ...]
    rows: tuple[RowScenarios, ...]
    threads: tuple[Setting, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
