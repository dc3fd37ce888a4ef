"""The highest rate that holds: bisection over rates whose trials may also end undecided.

What is known after some trials is three stretches of the rate: it holds below the first, breaks
above the last, and between them lie rates at which no trial of the length allowed can tell. The
next trial halves the wider of the two stretches that are still open beside these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgereid.bench.scenarios.result import BREAKS, HOLDS, UNDECIDED, Trial

GROWTH = 1.15  # while only one side is known: its square, its cube and so on, trial by trial
LOWEST_SHARE = 0.01  # of the guess: no rate below it is tried


def held(trials: Sequence[Trial]) -> float | None:
    """The highest rate that held below every rate that broke; None when there is none."""
    ceiling = broke(trials)
    rates = [
        t.rate_per_s
        for t in trials
        if t.verdict == HOLDS and (ceiling is None or t.rate_per_s < ceiling)
    ]
    return max(rates, default=None)


def broke(trials: Sequence[Trial]) -> float | None:
    """The lowest rate that broke; None when there is none."""
    return min((t.rate_per_s for t in trials if t.verdict == BREAKS), default=None)


def next_rate(trials: Sequence[Trial], guess: float, tolerance: float) -> float | None:
    """The rate to try next; None when both stretches are narrower than ``tolerance`` (a share of
    the rate), and when nothing holds far below the guess."""
    rates = [t.rate_per_s for t in trials]
    low, high = held(trials), broke(trials)
    if not rates:
        return guess
    if high is None:
        return max(rates) * GROWTH ** len(rates)
    if low is None:
        lower = min(rates) / GROWTH ** len(rates)
        return lower if lower > LOWEST_SHARE * guess else None
    open_to = [t.rate_per_s for t in trials if t.verdict == UNDECIDED and low < t.rate_per_s < high]
    gaps = [(low, min(open_to, default=high)), (max(open_to, default=low), high)]
    below, above = max(gaps, key=lambda gap: gap[1] / gap[0])
    return (below + above) / 2 if above > (1 + tolerance) * below else None


def search(
    trial: Callable[[float, int], Trial], guess: float, tolerance: float, max_trials: int
) -> list[Trial]:
    """Trials at the rates that bisection asks for; ``trial`` takes a rate and its number."""
    trials: list[Trial] = []
    while len(trials) < max_trials:
        rate = next_rate(trials, guess, tolerance)
        if rate is None:
            break
        trials.append(trial(rate, len(trials)))
    return trials
