"""The search: measure parts, predict the front, judge the fastest that may do, race the rest.

``docs/search.md`` explains the method. Everything measured goes through the journal, so a search
that was stopped goes on where it was, and gives what it would have given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgereid.progress import note, progress
from edgereid.search.choice import Choice, all_float, all_int8, keeping
from edgereid.search.final import decide
from edgereid.search.journal import Journal
from edgereid.search.measured import Agreement, Cost
from edgereid.search.options import DEFAULT_MINUTES, SLOW_MS, SearchOptions
from edgereid.search.outcome import Outcome
from edgereid.search.parts import (
    Anchors,
    additivity,
    anchors,
    change,
    groups_of,
    measure_group,
    part,
)
from edgereid.search.rig import Rig
from edgereid.search.session import Measured, Session
from edgereid.search.tree import Change, Range, front, ranges

#: Shares of the time after which no further part is measured, no further choice judged.
PARTS_UNTIL, JUDGED_UNTIL = 0.65, 0.88
#: Below this share of what INT8 adds everywhere, an error counts as none when the middle between
#: two choices is looked for.
LEAST_ERROR = 0.02


def run_search(rig: Rig, options: SearchOptions, journal: Journal, evidence: str) -> Outcome:
    """Search; ``evidence``: in words, what accuracy is judged on."""
    session = Session(rig, options, journal)
    measured = measure_parts(session)
    passed = find_fastest(session, measured)
    return decide(session, measured, passed, evidence)


def default_minutes(float_ms: float) -> float:
    return DEFAULT_MINUTES[float_ms > SLOW_MS]


def measure_parts(session: Session) -> Measured:
    """Corners first, then ranges of units, the long ones first, while there is time."""
    measurer, units = session.measurer, session.rig.units
    corners = anchors(measurer)
    minutes = session.options.minutes or default_minutes(corners.floats["f32"].ms)
    base = all_int8(corners.arithmetic(), units)
    errors = {
        "int8": measurer.agreement(base),
        "float": measurer.agreement(all_float(base.arithmetic, units)),
    }
    _say_what_comes(session, corners, minutes)
    known, complete = _measure_ranges(session, base, minutes)
    changes = {span: change(*of, errors["int8"]) for span, of in known.items()}
    whole = errors["int8"].error - errors["float"].error
    parts = tuple(part(span, *of, errors["int8"], whole) for span, of in known.items())
    adds = additivity(units, changes, errors["int8"], errors["float"])
    whole_network = change(
        corners.float_over_int8(base.arithmetic), errors["float"], errors["int8"]
    )
    predicted = _predict(units, changes | {(0, units): whole_network}, corners, base)
    return Measured(corners, base, parts, predicted, errors, adds, complete, minutes)


def _measure_ranges(
    session: Session, base: Choice, minutes: float
) -> tuple[dict[Range, tuple[Cost, Agreement]], bool]:
    """Cost and embeddings of every range there was time for, and whether that was all."""
    known: dict[Range, tuple[Cost, Agreement]] = {}
    groups = groups_of(ranges(session.rig.units))
    for group in progress(groups, label="parts in float", total=len(groups)):
        if session.journal.seconds > PARTS_UNTIL * 60 * minutes:
            return known, False
        known |= measure_group(session.measurer, base, group)
    return known, True


def _predict(
    units: int, changes: dict[Range, Change], corners: Anchors, base: Choice
) -> tuple[Change, ...]:
    """The predicted front, as far as it beats the best float engine."""
    best = corners.floats[corners.best_float].value / corners.int8[base.arithmetic].value
    found = front(units, changes)
    return tuple(c for c in found if 1.0 + c.time < best and len(c.kept) < units)


def _say_what_comes(session: Session, corners: Anchors, minutes: float) -> None:
    floats = ", ".join(f"{a} {cost.ms:.1f} ms" for a, cost in corners.floats.items())
    int8 = ", ".join(f"{cost.ms:.1f} ms with {a}" for a, cost in corners.int8.items())
    note(
        f"searching {session.rig.units} units within {minutes:g} minutes: float {floats}; "
        f"all INT8 {int8}"
    )


def find_fastest(session: Session, measured: Measured) -> list[Choice]:
    """Choices that keep the budget, the fastest predicted one last: the fastest of all when it
    does, else by halving the front between the fastest that failed and the slowest."""
    predicted = measured.predicted
    choices = [keeping(measured.base, c.kept) for c in predicted]
    if not choices:
        return []
    if session.judge(choices[0]):
        return [choices[0]]
    passed: list[Choice] = []
    low, high = 0, len(choices)  # the last that failed, the first that passed
    limit = JUDGED_UNTIL * 60 * measured.minutes
    while high - low > 1 and session.may_judge() and session.journal.seconds <= limit:
        middle = _between(predicted, low, high, measured.errors)
        if session.judge(choices[middle]):
            passed.append(choices[middle])
            high = middle
        else:
            low = middle
    return passed


def _between(predicted: Sequence[Change], low: int, high: int, errors: dict[str, Agreement]) -> int:
    """The index between two whose predicted error is nearest to the middle on a log scale."""
    whole = errors["int8"].error
    least = max(LEAST_ERROR * whole, 1e-30)

    def logarithm(index: int) -> float:
        error = errors["float"].error if index == len(predicted) else whole + predicted[index].error
        return math.log(max(error, least))

    middle = (logarithm(low) + logarithm(high)) / 2
    return min(range(low + 1, high), key=lambda i: (abs(logarithm(i) - middle), i))
