"""Is a candidate's loss within its budget? A non-inferiority test on paired queries.

Three answers: pass when even the upper bound of the drop is within the budget, fail when even the
lower bound is beyond it, undecided otherwise, with the number of people that would settle it.
``docs/gate.md`` tells how often each is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgereid.bench.gate import bootstrap_t, least_favourable
from edgereid.bench.gate.pairs import Pairs
from edgereid.bench.gate.result import FAIL, PASS, UNDECIDED


@dataclass(frozen=True, slots=True)
class Levels:
    """One-sided error rates of the two verdicts of one test.

    A gate passes when every test does, so each may err with the whole rate (an intersection-union
    test: R. Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics
    1982). It fails when any test does, so they share the rate (Bonferroni, weighted).
    """

    passing: float
    failing: float


@dataclass(frozen=True, slots=True)
class Decision:
    """A drop with its bounds, all in points, and what follows. See ``Measure``."""

    drop: float
    low: float
    high: float
    verdict: str
    needed_identities: int | None


def decide_map(pairs: Pairs, budget: float, levels: Levels) -> Decision:
    """Judge the drop of a measure that changes a little in many queries; ``budget`` in points."""
    low, high = bootstrap_t.bounds(pairs, levels.passing, levels.failing)
    verdict = _verdict(low, high, budget / 100)
    enough = None
    if verdict == UNDECIDED:
        enough = bootstrap_t.needed(pairs, low, high, budget / 100)
    return Decision(100 * pairs.drop, 100 * low, 100 * high, verdict, enough)


def decide_rank1(pairs: Pairs, budget: float, levels: Levels) -> Decision:
    """Judge the drop of a measure that is 0 or 1 and changes in few queries."""
    low, high = least_favourable.bounds(pairs, levels.passing, levels.failing)
    verdict = _verdict(low, high, budget / 100)
    enough = None
    if verdict == UNDECIDED:
        enough = least_favourable.needed(pairs, levels.passing, levels.failing, budget / 100)
    return Decision(100 * pairs.drop, 100 * low, 100 * high, verdict, enough)


def _verdict(low: float, high: float, budget: float) -> str:
    if high <= budget:
        return PASS
    return FAIL if low > budget else UNDECIDED


Decide = Callable[[Pairs, float, Levels], Decision]
