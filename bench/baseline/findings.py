"""What has changed, measure by measure, and whether that is more than noise.

A comparison asks many questions at once (engines x batch sizes, mAP, Rank-1), so Holm's procedure
keeps the probability that noise alone turns *any* of them into "worse" within ``1 - level`` (S.
Holm, "A simple sequentially rejective multiple test procedure", 1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgereid.bench.baseline.record import Record, Retrieval
from edgereid.bench.baseline.signflip import sign_flip
from edgereid.bench.baseline.speed import MIN_ROUNDS, MIN_RUNS, cost, slowdown
from edgereid.bench.baseline.student import quantile
from edgereid.bench.bootstrap import paired_drop

LEVEL = 0.95
WORSE, BETTER, NOISE, UNKNOWN = "worse", "better", "within noise", "not known"
UNCHANGED = "unchanged"
#: Measure -> per-query values (0..1) that its mean is.
ACCURACY: dict[str, Callable[[Retrieval], tuple[float, ...]]] = {
    "mAP": lambda r: r.average_precision,
    "Rank-1": lambda r: tuple(float(rank == 1) for rank in r.first_match),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One measure of one engine.

    ``before``, ``now``: points of accuracy, or the speed as times that of the reference;
    ``change`` with ``low`` and ``high`` (95 %): points, or percent of time an image (positive:
    slower). ``runs``: earlier runs it is compared with. ``spread``: of latency, the standard error
    of a new run's log, from which ``found_from`` follows: the slowdown in percent that this
    comparison would call one. ``why``: what makes it not known.
    """

    engine: str
    measure: str
    unit: str
    runs: int
    before: float
    now: float
    change: float
    low: float | None
    high: float | None
    p_worse: float | None
    p_better: float | None
    spread: float | None = None
    found_from: float | None = None
    outcome: str = UNKNOWN
    why: str = ""


def accuracy_findings(earlier: Record, new: Record) -> list[Finding]:
    """mAP and Rank-1 against one earlier record; nothing where the queries are not the same."""
    before, now = earlier.retrieval, new.retrieval
    if before is None or now is None or not before.same_queries(now):
        return []
    found = []
    for measure, values in ACCURACY.items():
        a, b = values(before), values(now)
        drop = paired_drop(a, b, now.pids)
        chance = None if a == b else sign_flip(a, b, now.pids)
        found.append(
            Finding(
                engine=new.engine.label,
                measure=measure,
                unit="points",
                runs=1,
                before=100 * sum(a) / len(a),
                now=100 * sum(b) / len(b),
                change=0.0 - drop.points,
                low=0.0 - drop.high,
                high=0.0 - drop.low,
                p_worse=None if chance is None else chance.p_drop,
                p_better=None if chance is None else chance.p_gain,
                outcome=UNCHANGED if chance is None else UNKNOWN,
            )
        )
    return found


def latency_findings(history: Sequence[Record], new: Record) -> list[Finding]:
    """Every batch size that earlier runs have, too, beside the same reference."""
    found = []
    for batch, rounds in sorted(new.latency.items()):
        if len(rounds.engine_ns) < MIN_ROUNDS:
            continue
        runs = [r.latency[batch] for r in history if _beside_the_same(r, new, batch)]
        if runs:
            costs = [cost(run.engine_ns, run.reference_ns) for run in runs]
            now = cost(rounds.engine_ns, rounds.reference_ns)
            before = sum(c.value for c in costs) / len(costs)
            blank = Finding(
                engine=new.engine.label,
                measure=f"latency, batch {batch}",
                unit="%",
                runs=len(costs),
                before=math.exp(-before),
                now=math.exp(-now.value),
                change=_percent(now.value - before),
                low=None,
                high=None,
                p_worse=None,
                p_better=None,
                why=f"noise between runs is not known yet: {len(costs)} of {MIN_RUNS} earlier runs",
            )
            if len(costs) >= MIN_RUNS:
                judged = slowdown(costs, now)
                low, high = judged.interval(LEVEL)
                blank = replace(
                    blank,
                    low=_percent(low),
                    high=_percent(high),
                    p_worse=judged.p_slower,
                    p_better=judged.p_faster,
                    spread=judged.scale,
                    why="",
                )
            found.append(blank)
    return found


def _percent(log: float) -> float:
    return 100 * math.expm1(log)


def _beside_the_same(record: Record, new: Record, batch: int) -> bool:
    if record.reference is None or new.reference is None or batch not in record.latency:
        return False
    same = record.reference.as_measured == new.reference.as_measured
    return same and len(record.latency[batch].engine_ns) >= MIN_ROUNDS


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses of no change are rejected, at most ``alpha`` of all families wrongly."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = [False] * len(p_values)
    for rank, index in enumerate(order):
        if p_values[index] > alpha / (len(order) - rank):
            break
        rejected[index] = True
    return rejected


def judged(findings: Sequence[Finding], level: float = LEVEL) -> tuple[Finding, ...]:
    """The findings with their outcomes; what has no p-value keeps the one it has.

    What is the same in every query is no question of chance: it does not count in the family.
    """
    known = [f for f in findings if f.p_worse is not None and f.p_better is not None]
    worse = holm([f.p_worse for f in known if f.p_worse is not None], 1 - level)
    better = holm([f.p_better for f in known if f.p_better is not None], 1 - level)
    outcomes = {
        id(f): WORSE if is_worse else BETTER if is_better else NOISE
        for f, is_worse, is_better in zip(known, worse, better, strict=True)
    }
    alpha = (1 - level) / max(1, len(known))
    return tuple(
        replace(f, outcome=outcomes.get(id(f), f.outcome), found_from=_found_from(f, alpha))
        for f in findings
    )


def _found_from(finding: Finding, alpha: float) -> float | None:
    """What even the first step of Holm's procedure calls a slowdown."""
    if finding.spread is None:
        return None
    return _percent(quantile(alpha, finding.runs - 1) * finding.spread)
