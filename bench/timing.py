"""Which engines are timed with what, at one batch size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgereid.bench.inputs import arrays, crop_files, end_to_end
from edgereid.bench.latency import Clock, LatencyOptions, Runner, Samples, measure
from edgereid.bench.opening import Opened, reference_of
from edgereid.data.types import ReidDataset
from edgereid.errors import UsageError
from edgereid.evaluation.result import LeftOut
from edgereid.images import Preprocessing, load_batch

PREPARATION = "decode + resize + normalise"
#: End to end is measured for less time: its spread comes from decoding, which all rows share.
END_TO_END_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Timed:
    """Samples by row key, or one set of them, at one batch size."""

    engines: dict[str, Samples]
    end_to_end: dict[str, Samples]
    preparation: Samples | None


def _fits(opened: Opened, batch: int) -> bool:
    return opened.batch in (None, batch)


def fixed_batches(opened: Sequence[Opened], batches: Sequence[int]) -> list[LeftOut]:
    """Engines of a fixed batch size miss the other batch sizes; raises UsageError when that leaves
    nothing to time."""
    if not any(_fits(o, b) for o in opened for b in batches):
        size = opened[0].batch
        raise UsageError(f"{opened[0].label} takes batches of {size} only: give --batch {size}.")
    return [
        LeftOut(f"{o.label} at batch {b}", f"this engine takes batches of {o.batch} only.")
        for o in opened
        for b in batches
        if not _fits(o, b)
    ]


def time_batch(
    batch: int,
    opened: Sequence[Opened],
    dataset: ReidDataset | None,
    options: LatencyOptions,
    clock: Clock = time.perf_counter_ns,
) -> Timed:
    """Engines alone against each other; then, with images, end to end for the references and for
    what could replace them (all but further FP32 rows)."""
    able = [o for o in opened if _fits(o, batch)]
    if not able:
        return Timed({}, {}, None)
    seed = options.seed
    buffers = {p: arrays(dataset, p, batch, seed) for p in {o.preprocessing for o in able}}
    runners = [Runner(o.label, o.engine.run, buffers[o.preprocessing]) for o in able]
    samples = measure(runners, options, clock, f"latency, batch {batch}")
    engines = {o.key: s for o, s in zip(able, samples, strict=True)}
    if dataset is None:
        return Timed(engines, {}, None)
    chosen = [o for o in able if o.precision != "f32" or reference_of(o, opened) == o.key]
    end, preparation = _time_end_to_end(batch, chosen, dataset, options, clock)
    return Timed(engines, end, preparation)


def _time_end_to_end(
    batch: int,
    chosen: Sequence[Opened],
    dataset: ReidDataset,
    options: LatencyOptions,
    clock: Clock,
) -> tuple[dict[str, Samples], Samples | None]:
    if not chosen:
        return {}, None
    files = crop_files(dataset, batch, options.seed)
    runners: list[Runner[Sequence[Path]]] = [
        Runner(o.label, end_to_end(o.engine, o.preprocessing), files) for o in chosen
    ]
    runners.append(Runner(PREPARATION, _prepare(chosen[0].preprocessing), files))
    samples = measure(runners, _shortened(options), clock, f"end to end, batch {batch}")
    return {o.key: s for o, s in zip(chosen, samples, strict=False)}, samples[-1]


def _prepare(preprocessing: Preprocessing) -> Callable[[Sequence[Path]], object]:
    def run(files: Sequence[Path]) -> object:
        return load_batch(files, preprocessing)

    return run


def _shortened(options: LatencyOptions) -> LatencyOptions:
    return replace(
        options,
        min_time_s=END_TO_END_SHARE * options.min_time_s,
        max_time_s=END_TO_END_SHARE * options.max_time_s,
    )
