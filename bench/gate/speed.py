"""The candidate's time over the reference's, both engines taking turns in one run."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.gate.measures import LATENCY
from edgereid.bench.gate.options import GateOptions
from edgereid.bench.gate.result import FAIL, PASS, UNDECIDED, Measure
from edgereid.bench.gate.sides import Sides
from edgereid.bench.gate.statistics import Levels
from edgereid.bench.inputs import arrays
from edgereid.bench.latency import Clock, Runner, measure
from edgereid.bench.stats import MIN_ROUNDS_FOR_INTERVAL, RESAMPLES, round_ratios, summarise
from edgereid.data.types import ReidDataset
from edgereid.errors import UsageError
from edgereid.evaluation.subject import Subject

Floats = NDArray[np.float64]


def latency_measure(
    sides: Sides,
    dataset: ReidDataset,
    options: GateOptions,
    budget: float,
    levels: Levels,
    clock: Clock = time.perf_counter_ns,
) -> Measure:
    """Time both engines alone. Raises UsageError when one cannot take the batch size."""
    batch = options.latency_batch
    pairs = (("reference", sides.reference.subject), ("candidate", sides.candidate.subject))
    runners = [_runner(name, subject, dataset, batch, options) for name, subject in pairs]
    reference, candidate = measure(runners, options.latency, clock, f"latency, batch {batch}")
    ratios = round_ratios(candidate.rounds_ns, reference.rounds_ns)
    low, high = _bounds(ratios, levels, options.latency.seed)
    return Measure(
        name=LATENCY,
        unit="x",
        reference=summarise(reference.all_ns, batch).p50_ms,
        candidate=summarise(candidate.all_ns, batch).p50_ms,
        drop=float(np.median(ratios)),
        low=low,
        high=high,
        budget=budget,
        pass_level=levels.passing,
        fail_level=levels.failing,
        verdict=_verdict(low, high, budget),
        explanation=f"median time at batch {batch} over the reference's, {len(ratios)} rounds",
    )


def _runner(
    name: str, subject: Subject, dataset: ReidDataset, batch: int, options: GateOptions
) -> Runner[object]:
    fixed = subject.engine.inputs[0].shape[0]
    if fixed not in (None, batch):
        raise UsageError(
            f"the {name} takes batches of {fixed} only: give --latency-batch {fixed}, and engines "
            "that share a batch size."
        )
    buffers = arrays(dataset, subject.preprocessing, batch, options.latency.seed)
    return Runner(name, subject.engine.run, buffers)  # type: ignore[arg-type]


def _bounds(ratios: Floats, levels: Levels, seed: int) -> tuple[float | None, float | None]:
    """One-sided bounds of the median: a bootstrap over rounds."""
    if len(ratios) < MIN_ROUNDS_FOR_INTERVAL:
        return None, None
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(ratios), size=(RESAMPLES, len(ratios)))
    medians = np.median(ratios[picks], axis=1)
    low, high = np.quantile(medians, [levels.failing, 1 - levels.passing])
    return float(low), float(high)


def _verdict(low: float | None, high: float | None, budget: float) -> str:
    if low is None or high is None:
        return UNDECIDED
    if high <= budget:
        return PASS
    return FAIL if low > budget else UNDECIDED
