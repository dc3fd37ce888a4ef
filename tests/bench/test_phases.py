"""Where the time of a run goes: measured, kept raw, told in one line."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgereid.bench.notes import notes
from edgereid.bench.phases import DETAIL, RUNS, measure_phases, phase_notes, with_phases
from edgereid.bench.result import BenchResult
from edgereid.engines.tensorrt.times import RunTimes
from edgereid.images import Preprocessing


class Telling:
    """An engine whose compute takes 100 us an image, plus the number of the run."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def timed_run(self, batch: Any) -> tuple[Any, RunTimes]:
        self.batches.append(len(batch))
        times = RunTimes(2.0 * len(batch), 100.0 * len(batch) + len(self.batches), 1.0, 7.5, 1)
        return np.zeros((len(batch), 8)), times


def opened(engine: Any, batch: int | None = None, key: str = "b/engine.plan") -> Any:
    small = Preprocessing(16, 8)
    return SimpleNamespace(key=key, engine=engine, batch=batch, preprocessing=small)


def test_every_batch_size_an_engine_takes_is_measured_and_kept_raw() -> None:
    engine, fixed = Telling(), Telling()
    both = [opened(engine), opened(fixed, batch=4, key="fixed"), opened(object(), key="silent")]
    found = measure_phases(both, (1, 4), None, seed=0)
    assert set(found) == {"b/engine.plan", "fixed"}
    assert set(found["b/engine.plan"]) == {"1", "4"}
    assert set(found["fixed"]) == {"4"}
    assert engine.batches == [1] * RUNS + [4] * RUNS
    assert found["b/engine.plan"]["1"]["compute"] == [100.0 + k for k in range(1, RUNS + 1)]
    assert found["fixed"]["4"]["copy_in"] == [8.0] * RUNS


def test_the_rows_keep_them_and_the_notes_give_medians(usual: BenchResult) -> None:
    key = usual.rows[-1].key
    phases = {
        "copy_in": [1.0, 2.0, 3.0],
        "compute": [400.0, 410.0, 900.0],
        "copy_out": [5.0] * 3,
        "enqueue": [30.0] * 3,
        "launches": [1.0] * 3,
    }
    rows = with_phases(usual.rows, {key: {"16": phases}})
    assert rows[-1].details[DETAIL] == {"16": phases}
    assert rows[:-1] == usual.rows[:-1]
    sentence = (
        f"{usual.rows[-1].label} at batch 16, us: copy in 2, compute 410, copy out 5, "
        "enqueue (host) 30 (medians of 3 runs)"
    )
    assert phase_notes(rows) == [sentence]
    assert sentence in notes(replace(usual, rows=rows))
    assert phase_notes(usual.rows) == []


@pytest.mark.parametrize(
    "details",
    [
        {DETAIL: "fast"},
        {DETAIL: {"1": {"compute": [1.0]}}},
        {DETAIL: {"1": {"copy_in": [], "compute": [], "copy_out": [], "enqueue": []}}},
        {DETAIL: {"1": {k: ["x"] for k in ("copy_in", "compute", "copy_out", "enqueue")}}},
        {"cuda_graph": "yes"},
    ],
)
def test_a_result_file_that_holds_something_else_there_tells_nothing(
    usual: BenchResult, details: dict[str, Any]
) -> None:
    assert phase_notes([replace(usual.rows[0], details=details)]) == []


def test_a_graph_that_was_not_used_is_told_with_its_reason(
    usual: BenchResult,
) -> None:
    row = replace(usual.rows[0], details={"cuda_graph": {"batches": [], "without": "DLA"}})
    assert phase_notes([row]) == [f"{row.label} ran without a CUDA graph: DLA"]
