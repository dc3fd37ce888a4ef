"""From samples and accuracies to the rows of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

from edgereid.bench.bootstrap import Drop, paired_drop
from edgereid.bench.latency import Samples
from edgereid.bench.opening import Opened, reference_of
from edgereid.bench.result import Accuracy, Dataset, Latency, Row
from edgereid.bench.stats import speed_ratio, summarise
from edgereid.bench.timing import Timed


def latency(batch: int, samples: Samples, reference: Samples | None) -> Latency:
    """Raw samples with their summary and, with a reference, the speed ratio."""
    ratio = None if reference is None else speed_ratio(reference.rounds_ns, samples.rounds_ns)
    return Latency(batch, summarise(samples.all_ns, batch), samples, ratio)


def _drop(
    accuracies: Mapping[str, Accuracy], key: str, reference: str | None, dataset: Dataset | None
) -> Drop | None:
    if dataset is None or reference is None or key not in accuracies:
        return None
    a, b = accuracies[reference].average_precision, accuracies[key].average_precision
    return paired_drop(a, b, dataset.valid_query_pids)


def _latencies(
    key: str, reference: str | None, samples: Mapping[int, Mapping[str, Samples]]
) -> dict[int, Latency]:
    """What row ``key`` has of ``samples`` (batch size -> row -> samples)."""
    return {
        batch: latency(batch, rows[key], rows.get(reference or ""))
        for batch, rows in samples.items()
        if key in rows
    }


def rows_of(
    opened: Sequence[Opened],
    timed: Mapping[int, Timed],
    accuracies: Mapping[str, Accuracy],
    dataset: Dataset | None,
) -> tuple[Row, ...]:
    """The rows: bundle by bundle, the reference first."""
    engines = {b: t.engines for b, t in timed.items()}
    end_to_end = {b: t.end_to_end for b, t in timed.items()}
    rows = []
    for o in opened:
        reference, info = reference_of(o, opened), o.engine.info
        rows.append(
            Row(
                key=o.key,
                label=o.label,
                group=o.candidate.group,
                file=o.candidate.file,
                runtime=info.runtime,
                precision=o.precision,
                runs_as=info.precision,
                version=info.version,
                threads=info.threads,
                bytes=o.bytes,
                under_test=o.under_test,
                reference=reference,
                preprocessing="manifest" if o.candidate.preprocessing else "default (no manifest)",
                load_ms=o.load_ms,
                first_run_ms=o.first_run_ms,
                resident_growth_bytes=o.resident_growth_bytes,
                details=deepcopy(info.details),  # as it is now: an engine may keep it up to date
                latency=_latencies(o.key, reference, engines),
                end_to_end=_latencies(o.key, reference, end_to_end),
                accuracy=accuracies.get(o.key),
                drop=_drop(accuracies, o.key, reference, dataset),
            )
        )
    groups = list(dict.fromkeys(row.group for row in rows))
    return tuple(sorted(rows, key=lambda r: (groups.index(r.group), not r.is_reference)))
