"""How an engine stands: the rules, as pure functions of rows.

An engine keeps its budget when its drop in mAP against the float reference, as measured, is not
above it. A quantised engine that is slower at a batch size than the fastest FP32 row of its bundle,
whatever the runtime, is never recommended there. Of the rest the fastest is recommended, be it
INT8, bf16 or FP32. Without measured accuracy nothing is recommended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgereid.bench.result import Row
from edgereid.bench.stats import Ratio, round_ratios, speed_ratio


@dataclass(frozen=True, slots=True)
class Standing:
    """How one row fared. Batch sizes at which it is recommended, and at which it is quantised and
    yet slower than float; whether its accuracy budget is broken (None: not known)."""

    ship_at: tuple[int, ...]
    slow_at: tuple[int, ...]
    broken: bool | None
    is_reference: bool

    def text(self, batches: Sequence[int]) -> str:
        """The cell of the table."""
        words = ["reference"] if self.is_reference else []
        for name, where in (("SHIP", self.ship_at), ("slower than float", self.slow_at)):
            if where:
                words.append(name if set(where) == set(batches) else f"{name} at {_some(where)}")
        if self.broken:
            words.append("over budget")
        return ", ".join(words)


def _some(batches: Sequence[int]) -> str:
    return "/".join(map(str, batches))


def ratio_between(slower: Row, faster: Row, batch: int) -> Ratio:
    """How many times as fast ``faster`` is as ``slower``, paired by round."""
    a, b = slower.latency[batch].samples, faster.latency[batch].samples
    return speed_ratio(a.rounds_ns, b.rounds_ns)


def _paired(reference: Row, row: Row, batch: int) -> float:
    a, b = reference.latency[batch].samples, row.latency[batch].samples
    return float(np.median(round_ratios(a.rounds_ns, b.rounds_ns)))


def fastest_first(rows: Sequence[Row], batch: int) -> list[Row]:
    """Rows measured at a batch size, the fastest first."""
    able = [row for row in rows if batch in row.latency]
    return sorted(able, key=lambda row: row.latency[batch].summary.p50_ms)


def slower_than_float_at(row: Row, group: Sequence[Row]) -> tuple[int, ...]:
    """Where a quantised row is slower than the fastest FP32 row."""
    if not row.quantised:
        return ()
    found = []
    for batch in sorted(row.latency):
        floats = fastest_first([r for r in group if r.precision == "f32"], batch)
        if floats and _paired(floats[0], row, batch) < 1.0:
            found.append(batch)
    return tuple(found)


def breaks_budget(row: Row, budget: float) -> bool | None:
    """Whether the measured drop is above ``budget`` points; None: there is no drop to judge."""
    return None if row.drop is None else row.drop.points > budget


def shippable(group: Sequence[Row], batch: int, budget: float) -> list[Row]:
    """What may be recommended at a batch size, the fastest first."""
    return [
        row
        for row in fastest_first(group, batch)
        if breaks_budget(row, budget) is False and batch not in slower_than_float_at(row, group)
    ]
