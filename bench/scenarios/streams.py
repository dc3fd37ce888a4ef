"""Single-stream and multi-stream: one query after the other, the next when the last is answered.

MLPerf Inference's definitions: single-stream sends one image a query and counts the 90th percentile
of latency, multi-stream sends eight (here: the crops of one camera's frame) and counts the 99th.
The engines take turns as in every other measurement of latency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.latency import Clock, LatencyOptions, Runner, Samples, measure
from edgereid.bench.scenarios.result import Stream
from edgereid.bench.stats import samples_needed, speed_ratio, summarise

SINGLE_PERCENTILE = 90
MULTI_PERCENTILE = 99


@dataclass(frozen=True, slots=True)
class Contender:
    """An engine's row: ``reference`` is the key of the row it is compared with, ``buffers`` hold
    the batches (N, 3, H, W) it is fed in turn."""

    key: str
    runner: Runner[NDArray[np.float32]]
    reference: str | None


def run_streams(
    contenders: Sequence[Contender],
    batch: int,
    percentile: int,
    options: LatencyOptions,
    clock: Clock,
) -> dict[str, Stream]:
    """Measure until the sample supports ``percentile``, or ``options.max_time_s`` is over."""
    needed = replace(options, min_count=max(options.min_count, samples_needed(percentile)))
    runners = [c.runner for c in contenders]
    found = measure(runners, needed, clock, f"{batch} a query")
    samples = {c.key: s for c, s in zip(contenders, found, strict=True)}
    return {c.key: _stream(c, samples, batch, percentile) for c in contenders}


def _stream(
    contender: Contender, samples: Mapping[str, Samples], batch: int, percentile: int
) -> Stream:
    mine, reference = samples[contender.key], samples.get(contender.reference or "")
    ratio = None if reference is None else speed_ratio(reference.rounds_ns, mine.rounds_ns)
    return Stream(batch, percentile, summarise(mine.all_ns, batch), mine, ratio)
