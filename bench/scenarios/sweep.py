"""Sweep over threads and batch sizes: the same engines opened with several numbers of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from edgereid.bench.inputs import arrays
from edgereid.bench.latency import Clock, LatencyOptions, Runner, Samples, measure
from edgereid.bench.opening import Opened
from edgereid.bench.scenarios.result import Setting
from edgereid.bench.stats import speed_ratio, summarise
from edgereid.data.types import ReidDataset
from edgereid.evaluation.result import LeftOut

#: Opens every row with so many threads; the stack closes them.
OpenWith = Callable[[int, ExitStack], tuple[list[Opened], list[LeftOut]]]


def sweep_threads(
    open_with: OpenWith,
    threads: Sequence[int],
    batches: Sequence[int],
    dataset: ReidDataset | None,
    options: LatencyOptions,
    clock: Clock,
) -> tuple[Setting, ...]:
    """All engines with all numbers of threads, taking turns, one batch size after the other."""
    with ExitStack() as stack:
        settings = [(t, o) for t in sorted(set(threads)) for o in open_with(t, stack)[0]]
        return tuple(
            setting
            for batch in batches
            for setting in _at(batch, settings, dataset, options, clock)
        )


def _at(
    batch: int,
    settings: Sequence[tuple[int, Opened]],
    dataset: ReidDataset | None,
    options: LatencyOptions,
    clock: Clock,
) -> list[Setting]:
    able = [(t, o) for t, o in settings if o.batch in (None, batch)]
    if not able:
        return []
    kinds = {o.preprocessing for _, o in able}
    buffers = {p: arrays(dataset, p, batch, options.seed) for p in kinds}
    runners = [
        Runner(f"{o.label}, {t} threads", o.engine.run, buffers[o.preprocessing]) for t, o in able
    ]
    samples = measure(runners, options, clock, f"threads, batch {batch}")
    first: dict[str, Samples] = {}  # with the fewest threads: what the others are compared with
    found = []
    for (t, o), mine in zip(able, samples, strict=True):
        base = first.setdefault(o.key, mine)
        ratio = None if base is mine else speed_ratio(base.rounds_ns, mine.rounds_ns)
        found.append(Setting(o.label, t, batch, summarise(mine.all_ns, batch), mine, ratio))
    order = list(dict.fromkeys(o.label for _, o in able))
    return sorted(found, key=lambda s: (order.index(s.label), s.threads))
