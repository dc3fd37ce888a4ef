"""The verdict, a pure function of a result: which engine to ship, which not and why, in sentences a
user can act on, and the exit code. ``standing.py`` has the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgereid.bench.result import BenchResult, Row
from edgereid.bench.standing import (
    Standing,
    breaks_budget,
    fastest_first,
    ratio_between,
    shippable,
    slower_than_float_at,
)
from edgereid.bench.stats import MIN_ROUNDS_FOR_INTERVAL
from edgereid.bench.wording import (
    change,
    interval,
    listing,
    points,
    times,
    times_with_interval,
    title,
)
from edgereid.errors import EXIT_BUDGET_BROKEN


@dataclass(frozen=True, slots=True)
class Verdict:
    """Standings by row key, sentences to act on, and the exit code they amount to."""

    standings: dict[str, Standing]
    sentences: tuple[str, ...]
    exit_code: int


def judge(result: BenchResult) -> Verdict:
    """The verdict on a result; rows are judged within their bundle."""
    budget = result.max_map_drop
    standings: dict[str, Standing] = {}
    sentences: list[str] = []
    for name in dict.fromkeys(row.group for row in result.rows):
        group = [row for row in result.rows if row.group == name]
        best = {batch: shippable(group, batch, budget) for batch in result.batches}
        for row in group:
            standings[row.key] = Standing(
                ship_at=tuple(b for b, rows in best.items() if rows and rows[0] is row),
                slow_at=slower_than_float_at(row, group),
                broken=breaks_budget(row, budget),
                is_reference=row.is_reference,
            )
        sentences += _recommend(group, best, result)
        sentences += _refuse(group, standings, best, result)
    failed = any(standings[row.key].broken for row in result.rows if row.under_test)
    return Verdict(standings, tuple(sentences), EXIT_BUDGET_BROKEN if failed else 0)


def _recommend(group: Sequence[Row], best: dict[int, list[Row]], result: BenchResult) -> list[str]:
    """What to ship: one sentence a recommended row, or why there is none."""
    winners = {batch: rows[0] for batch, rows in best.items() if rows}
    if not winners:
        return _no_recommendation(group, result)
    found = []
    for row in dict.fromkeys(winner.key for winner in winners.values()):
        where = [batch for batch, winner in winners.items() if winner.key == row]
        everywhere = len(where) == len(result.batches)
        prefix = "" if everywhere else f"At batch {listing([str(b) for b in where])}: "
        found.append(prefix + _ship(winners[where[0]], group, where, result))
        found += [s for batch in where for s in _tie(best[batch], batch)]
    return found


def _ship(row: Row, group: Sequence[Row], where: Sequence[int], result: BenchResult) -> str:
    accuracy = _accuracy_words(row, result)
    if row.is_reference:
        why = "nothing within the budget is faster"
        return f"SHIP {title(row)}, the float reference: {why}; {accuracy}."
    parts = [_speeds(row, group, where), accuracy]
    reference = next((r for r in group if r.key == row.reference), None)
    if reference is not None and row.file != reference.file:
        parts.append(f"file {100 * row.bytes / reference.bytes:.0f} % of float")
    doubts = _doubt(row, result) + _haste(row, where)
    return f"SHIP {title(row)}: {'; '.join(p for p in parts if p)}.{doubts}"


def _speeds(row: Row, group: Sequence[Row], where: Sequence[int]) -> str:
    """ "2.9x ONNX Runtime FP32 at batch 16, 1.8x at batch 1"; the recommended batch sizes first."""
    names = {r.key: r.label for r in group}
    order = [*sorted(where, reverse=True), *sorted(set(row.latency) - set(where), reverse=True)]
    ratios = [(b, row.latency[b].ratio) for b in order if b in row.latency]
    words = [f"{times(ratio)} at batch {b}" for b, ratio in ratios if ratio is not None]
    if not words:
        return ""
    of = f" {names[row.reference]}" if row.reference in names else " the reference"
    first, _, rest = words[0].partition("x ")
    return ", ".join([f"{first}x{of} {rest}", *words[1:]])


def _accuracy_words(row: Row, result: BenchResult) -> str:
    if row.accuracy is None:
        return ""
    drop = ""
    if row.drop is not None and not row.is_reference:
        drop = f" ({change(row.drop)}, budget {result.max_map_drop:g})"
    return f"mAP {points(row.accuracy.mean_ap)}{drop}, Rank-1 {points(row.accuracy.rank1)}"


def _doubt(row: Row, result: BenchResult) -> str:
    """Whether the sample is too small to be sure of the budget."""
    if row.drop is None or row.is_reference or row.drop.high <= result.max_map_drop:
        return ""
    return (
        f" Not settled: the 95 % interval of the change in mAP, {interval(row.drop)}, reaches "
        f"beyond the budget with {row.drop.queries} queries of {row.drop.identities} persons."
    )


def _haste(row: Row, where: Sequence[int]) -> str:
    """Whether too few rounds were measured to say how sure a ratio is."""
    few = {b: r for b in where if (r := row.latency[b].ratio) is not None and r.low is None}
    if not few:
        return ""
    rounds = listing([f"{ratio.rounds} at batch {b}" for b, ratio in few.items()])
    return (
        f" Not settled: rounds of turns {rounds}, {MIN_ROUNDS_FOR_INTERVAL} are needed to tell how "
        "sure a speed is: raise --max-time."
    )


def _tie(ranked: Sequence[Row], batch: int) -> list[str]:
    """Says so when the runner-up is as fast within the noise."""
    if len(ranked) < 2:
        return []
    ratio = ratio_between(ranked[1], ranked[0], batch)
    if ratio.low is None or ratio.low > 1.0:
        return []
    return [
        f"At batch {batch} {title(ranked[1])} is as fast within the noise: "
        f"the ratio is {times_with_interval(ratio)}."
    ]


def _no_recommendation(group: Sequence[Row], result: BenchResult) -> list[str]:
    if result.dataset is None:
        fastest = [
            f"{title(ranked[0])} at batch {batch}"
            for batch in result.batches
            if (ranked := fastest_first(group, batch))
        ]
        return [
            f"Fastest: {listing(fastest)}. Accuracy was not measured, so nothing is recommended: "
            "give --data DIR."
        ]
    if all(row.drop is None for row in group):
        return [
            f"{title(row)}: {_accuracy_words(row, result)}. There is no float reference to compare "
            "with: give its bundle's directory or a float engine beside it."
            for row in group
        ]
    return ["Nothing here keeps the budget and beats float: keep the float network."]


def _refuse(
    group: Sequence[Row],
    standings: dict[str, Standing],
    best: dict[int, list[Row]],
    result: BenchResult,
) -> list[str]:
    """Why the other rows under test are not recommended."""
    found = []
    for row in group:
        standing = standings[row.key]
        if not (row.under_test or standing.broken) or row.is_reference:
            continue
        reasons = []
        if standing.broken and row.drop is not None:
            reasons.append(
                f"it loses {row.drop.points:.2f} points of mAP, budget {result.max_map_drop:g} "
                f"(95 % interval of the change {interval(row.drop)})"
            )
        reasons += [_slower(row, group, batch) for batch in standing.slow_at]
        if reasons:
            start = "Not everywhere:" if standing.ship_at else "Do not ship"
            found.append(f"{start} {title(row)}: {'; '.join(reasons)}.")
        elif not standing.ship_at and standing.broken is False and any(best.values()):
            found.append(_beaten(row, best))
    return found


def _slower(row: Row, group: Sequence[Row], batch: int) -> str:
    best = fastest_first([r for r in group if r.precision == "f32"], batch)[0]
    ratio = ratio_between(best, row, batch)
    return f"slower than float at batch {batch} ({times(ratio)} {best.label})"


def _beaten(row: Row, best: dict[int, list[Row]]) -> str:
    """ "a keeps its budget, but b is faster (1.9x at batch 1 and 2.2x at batch 16)." """
    gains: dict[str, list[str]] = {}
    for batch, ranked in best.items():
        if ranked and batch in row.latency:
            ratio = ratio_between(row, ranked[0], batch)
            gains.setdefault(title(ranked[0]), []).append(f"{times(ratio)} at batch {batch}")
    words = [f"{name} is faster ({listing(ratios)})" for name, ratios in gains.items()]
    return f"{title(row)} keeps its budget, but {listing(words)}."
