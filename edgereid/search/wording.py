"""The sentences of a search: what was taken and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgereid.search.choice import Choice
from edgereid.search.measured import Cost, Drop

YES, NO, OPEN, UNKNOWN = "keeps", "breaks", "not shown", "not judged"


def speed(cost: Cost) -> str:
    """How many times as fast as what it took turns with: "1.21x (1.18 to 1.24)"."""
    if cost.low == cost.high:
        return f"{1 / cost.value:.2f}x"
    return f"{1 / cost.value:.2f}x ({1 / cost.high:.2f} to {1 / cost.low:.2f})"


def why_mixed(choice: Choice, cost: Cost, best: Choice, bar: Cost) -> str:
    """Why a choice with INT8 in it is taken."""
    return (
        f"{choice.label}: the fastest measured that keeps the accuracy budget, "
        f"{bar.value / cost.value:.2f} times as fast as the best float engine ({best.arithmetic})"
    )


def why_float(
    best: Choice,
    raced: Mapping[Choice, Cost],
    passed: Sequence[Choice],
    failed: Sequence[Drop | None],
    max_drop: float,
) -> str:
    """Why a float engine is returned; ``raced``: all that took turns; ``passed``: choices that keep
    the budget; ``failed``: the losses of those that do not."""
    start = f"the float engine in {best.arithmetic} is returned: "
    mixed = [c for c in raced if not c.is_float]
    if mixed and all(raced[c].value >= raced[best].value for c in mixed):
        nearest = min(mixed, key=lambda c: raced[c].value)
        return (
            f"{start}nothing with INT8 that was tried is faster; {nearest.label} runs at "
            f"{raced[best].value / raced[nearest].value:.2f} times its speed"
        )
    if not passed:
        few = sum(_open(drop, max_drop) for drop in failed)
        hint = f" ({few} would as measured, but on too few people to be sure)" if few else ""
        return f"{start}nothing faster that was tried is sure to keep the accuracy budget{hint}"
    fastest = min(passed, key=lambda c: raced[c].value)
    return (
        f"{start}{fastest.label} keeps the accuracy budget, but is not clearly faster, at "
        f"{speed(raced[fastest])} the speed"
    )


def drop_words(drop: Drop | None) -> str:
    """A loss of mAP in points with its upper bound, or that it is not known."""
    if drop is None:
        return "-"
    return f"{drop.points:.2f} (below {drop.high:.2f})"


def keeps_words(keeps: bool | None, drop: Drop | None, max_drop: float) -> str:
    """ "not shown": inside the budget as measured, but on too few people to be sure."""
    if keeps is None:
        return UNKNOWN
    if not keeps and _open(drop, max_drop):
        return OPEN
    return YES if keeps else NO


def _open(drop: Drop | None, max_drop: float) -> bool:
    return drop is not None and drop.points <= max_drop < drop.high
