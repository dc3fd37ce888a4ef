"""One bench run: open what can run here, time the engines against each other, measure accuracy with
the same engines, and put it all into one result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone

from edgereid import __version__
from edgereid.bench.assemble import latency, rows_of
from edgereid.bench.candidates import resolve
from edgereid.bench.energy.report import measure_energies
from edgereid.bench.latency import Clock
from edgereid.bench.machine import machine, state, state_warnings
from edgereid.bench.opening import (
    Opened,
    Opener,
    has_graphs,
    open_all,
    open_with_runtime,
    reference_of,
)
from edgereid.bench.options import BenchOptions
from edgereid.bench.phases import measure_phases, with_phases
from edgereid.bench.process import peak_resident_bytes
from edgereid.bench.result import Accuracy, BenchResult, Dataset
from edgereid.bench.scenarios.queue import Wait, wait_until
from edgereid.bench.scenarios.result import Scenarios
from edgereid.bench.scenarios.run import Setup, run_scenarios
from edgereid.bench.timing import fixed_batches, time_batch
from edgereid.data.types import ReidDataset
from edgereid.errors import UsageError
from edgereid.evaluation.result import LeftOut


def run_bench(
    options: BenchOptions,
    opener: Opener = open_with_runtime,
    clock: Clock = time.perf_counter_ns,
    dataset: ReidDataset | None = None,
    wait: Wait = wait_until,
) -> BenchResult:
    """Measure; ``dataset`` overrides ``options.data``. ``wait`` waits by ``clock``.

    Raises UsageError, InputError, IntegrityError and MissingRuntimeError; see ``open_all``.
    """
    candidates = resolve(options.paths, options.runtimes)
    if dataset is None and options.data is not None:
        from edgereid.data.layouts import open_dataset

        dataset = open_dataset(options.data, options.layout)
    described = None if dataset is None else _describe(dataset)
    with ExitStack() as stack:
        opened, left_out = open_all(candidates, options.engine_options, stack, opener)
        _check_budget(options, opened)
        _check_graphs(options, opened)
        left_out += fixed_batches(opened, options.batches)
        before = state()
        timed = {b: time_batch(b, opened, dataset, options.latency, clock) for b in options.batches}
        scenarios = _scenarios(options, opened, opener, clock, wait, dataset)
        energy = None
        if options.energy:
            energy = measure_energies(opened, options.batches, dataset, options.latency.seed)
        after = state()
        accuracies = _accuracies(opened, dataset, options.accuracy_batch)
        phases = measure_phases(opened, options.batches, dataset, options.latency.seed)
        rows = with_phases(rows_of(opened, timed, accuracies, described), phases)
        host = machine()
    return BenchResult(
        edgereid=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        options=options.to_json(),
        machine=host,
        before=before,
        after=after,
        peak_resident_bytes=peak_resident_bytes(),
        dataset=described,
        inputs="noise (no --data)" if dataset is None else "real crops from the gallery",
        rows=rows,
        preparation={b: latency(b, t.preparation, None) for b, t in timed.items() if t.preparation},
        left_out=tuple(left_out),
        warnings=tuple(state_warnings(before, after, host.usable_cpus)),
        scenarios=scenarios,
        energy=energy,
    )


def _scenarios(
    options: BenchOptions,
    opened: Sequence[Opened],
    opener: Opener,
    clock: Clock,
    wait: Wait,
    dataset: ReidDataset | None,
) -> Scenarios | None:
    if options.scenarios is None:
        return None
    engine_options = options.engine_options
    candidates = [o.candidate for o in opened]

    def open_with(threads: int, stack: ExitStack) -> tuple[list[Opened], list[LeftOut]]:
        return open_all(candidates, replace(engine_options, threads=threads), stack, opener)

    setup = Setup(
        opened, dataset, options.batches, options.latency, engine_options, open_with, clock, wait
    )
    return run_scenarios(options.scenarios, setup)


def _describe(dataset: ReidDataset) -> Dataset:
    from edgereid.bench.accuracy import describe

    return describe(dataset)


def _check_graphs(options: BenchOptions, opened: Sequence[Opened]) -> None:
    if options.cuda_graph is not None and not any(has_graphs(o.candidate) for o in opened):
        raise UsageError("no engine here has CUDA graphs, TensorRT's have: leave --cuda-graph out.")


def _check_budget(options: BenchOptions, opened: Sequence[Opened]) -> None:
    lost = [o for o in opened if o.under_test and reference_of(o, opened) is None]
    if options.budget_required and lost:
        raise UsageError(
            f"the accuracy budget of {lost[0].label} needs a float reference, and none runs here: "
            "give its bundle's directory, or a float engine beside it, and install its runtime."
        )


def _accuracies(
    opened: Sequence[Opened], dataset: ReidDataset | None, batch_size: int
) -> dict[str, Accuracy]:
    if dataset is None:
        return {}
    from edgereid.bench.accuracy import measure_accuracies
    from edgereid.evaluation.subject import Subject

    subjects = [
        Subject(o.engine, o.preprocessing, o.candidate.distance, o.candidate.flip) for o in opened
    ]
    found = measure_accuracies(subjects, dataset, batch_size)
    return {o.key: a for o, a in zip(opened, found, strict=True)}
