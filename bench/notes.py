"""What a reader must know beside the table: how it was measured, what is missing, what is shaky."""

from __future__ import annotations

from collections.abc import Iterable

from edgereid.bench.latency import REACHED_TIME_LIMIT
from edgereid.bench.phases import phase_notes
from edgereid.bench.result import BenchResult, Latency
from edgereid.bench.stats import TAIL_PERCENTILES, UNSTABLE_CV, samples_needed
from edgereid.bench.wording import listing
from edgereid.evaluation.score import FLIPPED


def _span(values: Iterable[int]) -> str:
    """ "31" or "31 to 402"."""
    found = sorted(values)
    low, high = f"{found[0]:,}", f"{found[-1]:,}"
    return low if low == high else f"{low} to {high}"


def _at(result: BenchResult, batch: int) -> dict[str, Latency]:
    return {row.label: row.latency[batch] for row in result.rows if batch in row.latency}


def _counts(result: BenchResult) -> list[str]:
    """How many runs were reached, and where the time limit came first."""
    goal = result.options["latency"]
    parts, limited = [], []
    for batch in result.batches:
        latencies = _at(result, batch).values()
        parts.append(f"{_span(x.summary.count for x in latencies)} at batch {batch}")
        if any(x.samples.stopped_by == REACHED_TIME_LIMIT for x in latencies):
            limited.append(str(batch))
    found = [f"runs an engine: {', '.join(parts)}; engines took turns in one run"]
    if limited:
        found.append(
            f"batch {listing(limited)} ended by the limit of {goal['max_time_s']:g} s before each "
            f"engine had {goal['min_count']:,} runs and {goal['min_time_s']:g} s: raise --max-time"
        )
    return found


def _missing_percentiles(result: BenchResult) -> list[str]:
    lacking = []
    for p in TAIL_PERCENTILES:
        rows = [x for b in result.batches for x in _at(result, b).values()]
        without = sum(p in x.summary.unsupported for x in rows)
        if without:
            some = "no" if without == len(rows) else f"{len(rows) - without} of {len(rows)}"
            lacking.append(f"p{p} ({samples_needed(p):,} runs; {some} result has it)")
    if not lacking:
        return []
    return [f"too few runs for {listing(lacking)}: raise --min-count and --max-time"]


def _unstable(result: BenchResult) -> list[str]:
    parts = []
    for batch in result.batches:
        latencies = _at(result, batch)
        shaky = {k: x.summary.cv or 0.0 for k, x in latencies.items() if x.summary.unstable}
        if shaky:
            worst = max(shaky, key=lambda label: shaky[label])
            parts.append(
                f"{len(shaky)} of {len(latencies)} engines at batch {batch} (up to "
                f"{100 * shaky[worst]:.1f} %, {worst})"
            )
    if not parts:
        return []
    return [
        f"unstable, coefficient of variation above {100 * UNSTABLE_CV:g} %: {listing(parts)}; "
        "the ratios are paired by round and suffer less"
    ]


def _accuracy(result: BenchResult) -> list[str]:
    d = result.dataset
    if d is None:
        return ["accuracy was not measured: give --data DIR"]
    protocol = next((row.accuracy.protocol for row in result.rows if row.accuracy), "")
    return [
        f"accuracy: {d.valid_queries:,} queries of {d.identities:,} persons ({d.dropped_queries:,} "
        f"dropped), {d.gallery:,} gallery images; {protocol}; intervals by a paired bootstrap over "
        "persons"
    ]


def _mirrored(result: BenchResult) -> list[str]:
    measured = [row for row in result.rows if row.accuracy is not None]
    names = [row.label for row in measured if row.accuracy and FLIPPED in row.accuracy.protocol]
    if not names:
        return []
    whose = "every engine" if len(names) == len(measured) else listing(names)
    return [
        f"an embedding of {whose} takes two runs, of the image and of its mirror image: latency "
        "and images per second are those of one run"
    ]


def _references(result: BenchResult) -> list[str]:
    names = [row.label for row in result.rows if row.is_reference]
    found = [f"speed and change are relative to {listing(names)}"] if names else []
    if any(row.preprocessing != "manifest" for row in result.rows):
        found.append(
            "files outside a bundle have no manifest: ImageNet mean and std and bilinear resizing "
            "were assumed"
        )
    return found


def _precisions(result: BenchResult) -> list[str]:
    return [
        f"{row.label} is meant for {row.precision}, but {row.runtime} runs it in {row.runs_as}"
        for row in result.rows
        if row.runs_as != row.precision
    ]


def notes(result: BenchResult) -> list[str]:
    """One sentence each, without a full stop."""
    return [
        *_references(result),
        *_counts(result),
        *_missing_percentiles(result),
        *_unstable(result),
        *_precisions(result),
        *phase_notes(result.rows),
        *_accuracy(result),
        *_mirrored(result),
        *([f"inputs: {result.inputs}"] if result.dataset is None else []),
        *result.warnings,
        *(f"left out: {x.label}: {x.reason.rstrip('.')}" for x in result.left_out),
    ]
