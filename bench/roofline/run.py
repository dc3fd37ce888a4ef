"""One roofline run: engines, probes and streams take turns in one measurement, so that a share of
the peak compares what ran side by side; then each engine's plan is profiled."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgereid import __version__
from edgereid.bench.candidates import resolve
from edgereid.bench.inputs import arrays
from edgereid.bench.latency import Clock, Runner, Samples, measure
from edgereid.bench.machine import machine, state, state_warnings
from edgereid.bench.opening import Opened, Opener, open_all, open_with_runtime
from edgereid.bench.roofline.bandwidth import Stream, last_cache, streams
from edgereid.bench.roofline.engine import Profilers, Roofs, Task, graph_of, judge
from edgereid.bench.roofline.layers import Batch, profiler_of
from edgereid.bench.roofline.options import RooflineOptions
from edgereid.bench.roofline.peaks import Arithmetic, bands_of, open_probes, peaks_of
from edgereid.bench.roofline.result import Band, EngineRoofline, Peak, RooflineResult
from edgereid.bench.timing import fixed_batches
from edgereid.cpus import usable_cpus
from edgereid.data.types import ReidDataset
from edgereid.engines.base import EngineOptions
from edgereid.progress import progress

Streams = Callable[[int, ThreadPoolExecutor], "list[Stream]"]


def run_roofline(
    options: RooflineOptions,
    opener: Opener = open_with_runtime,
    clock: Clock = time.perf_counter_ns,
    dataset: ReidDataset | None = None,
    profilers: Profilers = profiler_of,
    make_streams: Streams = streams,
) -> RooflineResult:
    """Measure; ``dataset`` overrides ``options.data``.

    Raises UsageError, InputError, IntegrityError and MissingRuntimeError; see ``open_all``.
    """
    threads = options.threads or usable_cpus()
    candidates = resolve(options.paths, options.runtimes)
    dataset = dataset or _dataset(options)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgereid-probe-")))
        engine_options = EngineOptions(threads=options.threads, trust=options.trust)
        opened, left_out = open_all(candidates, engine_options, stack, opener)
        left_out += fixed_batches(opened, (options.batch,))
        able = [o for o in opened if o.batch in (None, options.batch)]
        probes, without = open_probes(folder, threads, stack, opener)
        seed = options.latency.seed
        feeds = [arrays(dataset, o.preprocessing, options.batch, seed) for o in able]
        before = state()
        timed, peaks, bands = _measure(options, threads, able, feeds, probes, clock, make_streams)
        cache: int | None = last_cache().value
        tasks = [
            Task(o, s, feed, graph_of(o.candidate, options.graph))
            for o, s, feed in zip(able, timed, feeds, strict=True)
        ]
        engines = _judged(tasks, Roofs(peaks, bands, cache), options, profilers)
        after = state()
    host = machine()
    return RooflineResult(
        edgereid=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        options=options.to_json(),
        machine=host,
        before=before,
        after=after,
        inputs="noise (no --data)" if dataset is None else "real crops from the gallery",
        batch=options.batch,
        threads=threads,
        cache_bytes=cache,
        peaks=peaks,
        bands=bands,
        engines=engines,
        left_out=(*left_out, *without),
        warnings=tuple(state_warnings(before, after, host.usable_cpus)),
    )


def _judged(
    tasks: Sequence[Task], roofs: Roofs, options: RooflineOptions, profilers: Profilers
) -> tuple[EngineRoofline, ...]:
    shown = progress(tasks, label="layers", total=len(tasks))
    return tuple(judge(task, roofs, options.profile, profilers) for task in shown)


def _dataset(options: RooflineOptions) -> ReidDataset | None:
    if options.data is None:
        return None
    from edgereid.data.layouts import open_dataset

    return open_dataset(options.data, options.layout)


def _measure(
    options: RooflineOptions,
    threads: int,
    opened: Sequence[Opened],
    feeds: Sequence[Sequence[Batch]],
    probes: Sequence[Arithmetic],
    clock: Clock,
    make_streams: Streams,
) -> tuple[list[Samples], tuple[Peak, ...], tuple[Band, ...]]:
    """Samples of the engines, and the roofs, all from one alternated run."""
    with ThreadPoolExecutor(threads) as pool:
        flows = make_streams(threads, pool)
        runners: list[Runner[Any]] = [
            *(Runner(o.label, o.engine.run, x) for o, x in zip(opened, feeds, strict=True)),
            *(Runner(f"{p.runtime} {p.kind}", p.run, [p.images]) for p in probes),
            *(Runner(f"{f.level} {f.kind}", f.run, [None]) for f in flows),
        ]
        samples = measure(runners, options.latency, clock, "engines and peaks")
    n, m = len(opened), len(opened) + len(probes)
    return samples[:n], peaks_of(probes, samples[n:m]), bands_of(flows, samples[m:])
