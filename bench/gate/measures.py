"""The losses of the candidate: alone, and as the queries of the reference's gallery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.gate.options import Budget
from edgereid.bench.gate.pairs import pair
from edgereid.bench.gate.result import Measure
from edgereid.bench.gate.statistics import Decide, Levels, decide_map, decide_rank1
from edgereid.retrieval import RetrievalResult

Values = NDArray[np.float64]
MAP, RANK1, LATENCY = "mAP", "Rank-1", "latency ratio"
MIXED = ", mixed"


#: How tests share the error rate of failing. mAP changes a little in many queries, so that a small
#: part of the rate finds what it has to find; Rank-1 needs the most.
_WEIGHTS = {MAP: 1, RANK1: 3, LATENCY: 2}


@dataclass(frozen=True, slots=True)
class _Kind:
    """A per-query measure, where its budget stands and how its drop is judged."""

    name: str
    values: Callable[[RetrievalResult], Values]
    budget: Callable[[Budget], float | None]
    decide: Decide


def _first(result: RetrievalResult) -> Values:
    """(V,) 1 where the first of the list is right."""
    hits: Values = (result.first_match == 1).astype(np.float64)
    return hits


_KINDS = (
    _Kind(MAP, lambda r: r.average_precision, lambda b: b.max_map_drop, decide_map),
    _Kind(RANK1, _first, lambda b: b.max_rank1_drop, decide_rank1),
)


def levels_of(budget: Budget, comparisons: int) -> dict[str, Levels]:
    """The error rates of each measure when accuracy is compared in ``comparisons`` ways."""
    tests = {kind.name: comparisons for kind in _KINDS if kind.budget(budget) is not None}
    if budget.max_latency_ratio is not None:
        tests[LATENCY] = 1
    total = sum(_WEIGHTS[name] * number for name, number in tests.items())
    return {name: Levels(budget.level, budget.level * _WEIGHTS[name] / total) for name in tests}


def accuracy_measures(
    reference: RetrievalResult,
    candidate: RetrievalResult,
    pids: NDArray[np.int64],
    budget: Budget,
    levels: Mapping[str, Levels],
    suffix: str = "",
) -> list[Measure]:
    """Every measure that has a budget; ``pids`` (V,) of the valid queries.

    Raises InputError when the two results are not of the same queries.
    """
    return [
        _measure(kind, limit, reference, candidate, pids, levels[kind.name], suffix)
        for kind in _KINDS
        if (limit := kind.budget(budget)) is not None
    ]


def _measure(
    kind: _Kind,
    budget: float,
    reference: RetrievalResult,
    candidate: RetrievalResult,
    pids: NDArray[np.int64],
    levels: Levels,
    suffix: str,
) -> Measure:
    a, b = kind.values(reference), kind.values(candidate)
    pairs = pair(a, b, pids)
    found = kind.decide(pairs, budget, levels)
    return Measure(
        name=kind.name + suffix,
        unit="points",
        reference=float(a.mean()),
        candidate=float(b.mean()),
        drop=found.drop,
        low=found.low if np.isfinite(found.low) else None,
        high=found.high if np.isfinite(found.high) else None,
        budget=budget,
        pass_level=levels.passing,
        fail_level=levels.failing,
        verdict=found.verdict,
        needed_identities=found.needed_identities,
        explanation=f"{int((a != b).sum()):,} of {pairs.queries:,} queries differ",
    )
