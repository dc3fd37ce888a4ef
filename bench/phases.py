"""Where the time of a run goes inside an engine, for engines that can tell (TensorRT).

Measured after the latencies, in runs of its own: taking the times costs the host some microseconds
that the latencies are not burdened with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from statistics import median
from typing import Any, Protocol, runtime_checkable

from edgereid.bench.inputs import arrays
from edgereid.bench.opening import Opened
from edgereid.bench.result import Row
from edgereid.data.types import ReidDataset
from edgereid.engines.tensorrt.times import RunTimes

#: Runs at a batch size: enough for a median.
RUNS = 50
#: Where a row keeps them: details[DETAIL][batch as text][part] is one number of microseconds a run.
DETAIL = "run_times_us"
#: Part -> what people call it.
PARTS = {
    "copy_in": "copy in",
    "compute": "compute",
    "copy_out": "copy out",
    "enqueue": "enqueue (host)",
}


@runtime_checkable
class Tells(Protocol):
    """An engine that can tell where the time of a run goes."""

    def timed_run(self, batch: Any) -> tuple[Any, RunTimes]:
        """The embeddings and the times; takes what ``Engine.run`` takes."""


Phases = dict[str, list[float]]


def measure_phases(
    opened: Sequence[Opened], batches: Sequence[int], dataset: ReidDataset | None, seed: int
) -> dict[str, dict[str, Phases]]:
    """Row key -> batch size as text -> part -> microseconds, a run each.

    Engines that cannot tell, or do not take a batch size, are left out.
    """
    found: dict[str, dict[str, Phases]] = {}
    for o in opened:
        if isinstance(o.engine, Tells):
            able = [b for b in batches if o.batch in (None, b)]
            found[o.key] = {str(b): _phases(o, b, dataset, seed) for b in able}
    return found


def _phases(o: Opened, batch: int, dataset: ReidDataset | None, seed: int) -> Phases:
    engine = o.engine
    assert isinstance(engine, Tells)
    buffers = arrays(dataset, o.preprocessing, batch, seed)
    runs = [asdict(engine.timed_run(buffers[i % len(buffers)])[1]) for i in range(RUNS)]
    return {part: [run[part] for run in runs] for part in runs[0]}


def with_phases(rows: Sequence[Row], phases: Mapping[str, Mapping[str, Phases]]) -> tuple[Row, ...]:
    """The rows with their phases among the details."""
    return tuple(
        replace(row, details={**row.details, DETAIL: phases[row.key]})
        if phases.get(row.key)
        else row
        for row in rows
    )


def phase_notes(rows: Sequence[Row]) -> list[str]:
    """A sentence a row and batch size; and one where a CUDA graph could not be used."""
    notes = []
    for row in rows:
        for batch, phases in _told(row).items():
            medians = ", ".join(
                f"{words} {median(phases[part]):.0f}" for part, words in PARTS.items()
            )
            runs = len(phases["compute"])
            notes.append(f"{row.label} at batch {batch}, us: {medians} (medians of {runs} runs)")
        graph = row.details.get("cuda_graph")
        without = graph.get("without") if isinstance(graph, dict) else None
        if without:
            notes.append(f"{row.label} ran without a CUDA graph: {without}")
    return notes


def _told(row: Row) -> dict[str, Phases]:
    """The phases that a row holds; a result file may hold anything there."""
    found = row.details.get(DETAIL)
    if not isinstance(found, dict):
        return {}
    return {b: p for b, p in found.items() if all(_numbers(p, part) for part in PARTS)}


def _numbers(phases: Any, part: str) -> bool:
    values = phases.get(part) if isinstance(phases, dict) else None
    return (
        isinstance(values, list)
        and bool(values)
        and all(isinstance(v, int | float) for v in values)
    )
