"""Offline: all images are there at once; what counts is images a second, whatever the batch size.

A pass runs a fixed pool of images through an engine in batches of one size. Engines and batch sizes
take turns pass by pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.intervals import mean_interval
from edgereid.bench.latency import Clock, LatencyOptions, Runner, Samples, measure
from edgereid.bench.scenarios.result import Offline, Throughput
from edgereid.bench.stats import speed_ratio

Images = NDArray[np.float32]
WARM_UP_PASSES = 1


@dataclass(frozen=True, slots=True)
class Pool:
    """Images (N, 3, H, W) for the engine of row ``key``, and the batch sizes it takes."""

    key: str
    run: Callable[[Images], object]
    images: Images
    batches: tuple[int, ...]


def _pass(pool: Pool, batch: int) -> Runner[list[Images]]:
    """One pass in full batches; what is left over is not run and not counted."""
    parts = [pool.images[i * batch : (i + 1) * batch] for i in range(len(pool.images) // batch)]

    def run(batches: list[Images]) -> None:
        for images in batches:
            pool.run(images)

    return Runner(f"{pool.key} at {batch}", run, [parts])


def run_offline(pools: Sequence[Pool], options: LatencyOptions, clock: Clock) -> dict[str, Offline]:
    """Images a second of every engine at every batch size, by row. Batches above the pool's size
    are passed over."""
    places = [(pool, b) for pool in pools for b in pool.batches if b <= len(pool.images)]
    passes = replace(
        options,
        min_count=options.min_rounds,
        warmup_runs=WARM_UP_PASSES,
        warmup_s=0.0,
        block_s=0.0,  # one pass a turn, without a lead-in
    )
    runners = [_pass(pool, batch) for pool, batch in places]
    found = measure(runners, passes, clock, "offline")
    by_key: dict[str, dict[int, Throughput]] = {}
    for (pool, batch), samples in zip(places, found, strict=True):
        images = len(pool.images) // batch * batch
        by_key.setdefault(pool.key, {})[batch] = _throughput(batch, images, samples)
    return {key: Offline(by_batch, *_best(by_batch)) for key, by_batch in by_key.items()}


def _throughput(batch: int, images: int, samples: Samples) -> Throughput:
    """Images over the mean time of a pass; the limits are those of that mean, inverted."""
    times = samples.all_ns
    mean = max(1.0, sum(times) / len(times))
    limits = mean_interval(times)
    slow, fast = limits.high, limits.low
    return Throughput(
        batch=batch,
        images=images,
        images_per_s=1e9 * images / mean,
        low=None if slow is None else 1e9 * images / slow,
        high=None if fast is None or fast <= 0 else 1e9 * images / fast,
        samples=samples,
    )


def _best(by_batch: Mapping[int, Throughput]) -> tuple[int, int]:
    """The fastest batch size, and the smallest that may be as fast (its paired ratio to the fastest
    reaches 1)."""
    best = max(by_batch, key=lambda batch: by_batch[batch].images_per_s)
    for batch in sorted(by_batch):
        if batch == best or _as_fast(by_batch[batch], by_batch[best]):
            return best, batch
    return best, best


def _as_fast(one: Throughput, best: Throughput) -> bool:
    """Whether ``one`` may be as fast, by the pass times paired round by round."""
    if one.images != best.images:  # a pass of another length cannot be paired
        return one.high is not None and best.low is not None and one.high >= best.low
    ratio = speed_ratio(best.samples.rounds_ns, one.samples.rounds_ns)
    return ratio.high is not None and ratio.high >= 1.0
