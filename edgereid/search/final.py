"""The end of a search: one race of all that matters, the front, the point taken and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgereid.search.choice import Choice, all_float, all_int8, keeping
from edgereid.search.measured import Cost
from edgereid.search.outcome import Outcome, Point, pareto
from edgereid.search.rig import LONG, THOROUGH
from edgereid.search.session import Measured, Session
from edgereid.search.wording import why_float, why_mixed

#: Engines in the last race: they are all in memory at once.
MAX_RACED = 9
MAX_AGAIN = 4
#: Predicted choices that join the last race, by their share of the error that INT8 adds.
SPREAD = (0.5, 0.25, 0.1)


def decide(
    session: Session, measured: Measured, passed: Sequence[Choice], evidence: str
) -> Outcome:
    """Race floats, all INT8, what was judged and a few choices between them; take the fastest that
    keeps the budget and clearly beats the best float engine, else that one."""
    choices = _entrants(session, measured, passed)
    costs = session.measurer.race("last", choices, THOROUGH)
    raced = dict(zip(choices, costs, strict=True))
    raced |= _again(session, measured, raced)
    taken, why = _take(session, raced)
    points = _front([_point(session, c, cost) for c, cost in raced.items()], taken)
    return Outcome(
        points=points,
        taken=next(i for i, p in enumerate(points) if p.choice == taken),
        why=why,
        max_drop=session.options.max_drop,
        evidence=evidence,
        parts=measured.parts,
        additivity=measured.additivity,
        complete=measured.complete,
        seconds=session.journal.seconds,
    )


def _entrants(session: Session, measured: Measured, passed: Sequence[Choice]) -> list[Choice]:
    """The best float engine first, as costs are relative to it; no engine twice."""
    units, corners = session.rig.units, measured.corners
    floats = sorted(corners.floats, key=lambda a: corners.floats[a].value)
    wanted = [
        *(all_float(a, units) for a in floats),
        *reversed(passed),
        measured.base,
        *session.judged,
        *_spread(measured),
        *(all_int8(a, units) for a in corners.int8),
    ]
    return list(dict.fromkeys(wanted))[:MAX_RACED]


def _again(
    session: Session, measured: Measured, raced: Mapping[Choice, Cost]
) -> dict[Choice, Cost]:
    """What seemed faster than every float engine, but not clearly, is raced once more, for longer,
    if there is time: else noise would decide against the fastest, and for something slower."""
    floats = [c for c in raced if c.is_float]
    bar = min(raced[c].value for c in floats)
    doubtful = [
        c
        for c, cost in raced.items()
        if cost.value < bar <= cost.high and session.judged.get(c, (True,))[0]
    ]
    late = session.journal.seconds > 60 * measured.minutes
    if not doubtful or late:
        return {}
    choices = [*floats, *sorted(doubtful, key=lambda c: raced[c].value)[:MAX_AGAIN]]
    costs = session.measurer.race("again", choices, LONG)
    return dict(zip(choices, costs, strict=True))


def _spread(measured: Measured) -> list[Choice]:
    """The fastest predicted choices with shares of the error, so that the front has points there
    for other budgets."""
    whole = measured.errors["int8"].error
    found = []
    for share in SPREAD:
        fit = [c for c in measured.predicted if whole + c.error <= share * whole]
        found += [keeping(measured.base, c.kept) for c in fit[:1]]
    return found


def _take(session: Session, raced: Mapping[Choice, Cost]) -> tuple[Choice, str]:
    """What is returned, and why. A float engine other than f32 has to keep the budget, too, before
    it counts as what must be beaten."""
    floats = sorted((c for c in raced if c.is_float), key=lambda c: raced[c].value)
    plain = all_float("f32", session.rig.units)
    winner = _winner(session, raced, [raced[c] for c in floats])
    while winner is None and floats[0] != plain and not session.judge(floats[0]):
        floats = floats[1:]
        winner = _winner(session, raced, [raced[c] for c in floats])
    best = floats[0]
    if winner is not None:
        return winner, why_mixed(winner, raced[winner], best, raced[best])
    verdicts = {c: v for c, v in session.judged.items() if not c.is_float}
    passed = [c for c, (keeps, _) in verdicts.items() if keeps and c in raced]
    failed = [drop for keeps, drop in verdicts.values() if not keeps]
    return best, why_float(best, raced, passed, failed, session.options.max_drop)


def _winner(session: Session, raced: Mapping[Choice, Cost], bars: Sequence[Cost]) -> Choice | None:
    """The fastest that keeps the budget among those whose interval clears every bar. What was not
    judged yet is judged now unless a choice with less error failed already."""
    for choice in sorted(raced, key=lambda c: (raced[c].value, c.key)):
        if choice.is_float or not all(raced[choice].high < bar.value for bar in bars):
            continue
        known = choice in session.judged
        if (known or (session.may_judge() and _hopeful(session, choice))) and session.judge(choice):
            return choice
    return None


def _hopeful(session: Session, choice: Choice) -> bool:
    error = session.measurer.agreement(choice).error
    failed = [other for other, (keeps, _) in session.judged.items() if not keeps]
    return all(error < session.measurer.agreement(other).error for other in failed)


def _point(session: Session, choice: Choice, cost: Cost) -> Point:
    keeps, drop = session.judged.get(choice, (None, None))
    if choice == all_float("f32", choice.units):
        keeps = True  # it is the reference
    return Point(choice, cost, session.measurer.agreement(choice), drop, keeps)


def _front(points: Sequence[Point], taken: Choice) -> tuple[Point, ...]:
    """The Pareto front. A point that would hide the one taken (it failed although its error is
    less) is left out."""
    own = next(p for p in points if p.choice == taken)
    rest = [
        p
        for p in points
        if p is own or p.cost.value > own.cost.value or p.agreement.error > own.agreement.error
    ]
    return pareto(rest)
