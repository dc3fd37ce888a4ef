"""The best choices that sums of measured parts predict: pruning a tree of ranges of units.

One layer's price in time depends on its neighbours: a float layer among 8-bit ones converts on both
sides, a float stage only at its ends. So not only single units but whole ranges of neighbours are
measured: halves of the network, halves of those, down to units (``ranges``). What two halves cost
apart, less what they cost together, is what is saved where they meet. ``front`` finds the best of
all choices under that sum, as trees are pruned (P. A. Chou, T. Lookabaugh and R. M. Gray, "Optimal
pruning with applications to tree-structured source coding and modeling", IEEE Trans. Information
Theory 35, 1989), for every trade of error for time at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Range = tuple[int, int]  # units first..last-1

#: Predicted choices kept for a range and state of its ends: more would differ by less than noise.
WIDTH = 64


@dataclass(frozen=True, slots=True)
class Change:
    """What keeping units in float changes against all of them in INT8: squared embedding error, and
    time as a share of the all-INT8 engine's (negative: faster), known to ``doubt`` either way."""

    error: float
    time: float
    kept: tuple[int, ...] = ()
    doubt: float = 0.0


def halves(span: Range) -> tuple[Range, Range] | None:
    """The two halves of a range, None: it is one unit."""
    first, last = span
    if last - first < 2:
        return None
    middle = (first + last) // 2
    return (first, middle), (middle, last)


def ranges(units: int) -> list[Range]:
    """Every range of the tree but the whole, the long ones first."""
    found: list[Range] = []
    level: list[Range] = [(0, units)]
    while level:
        level = [half for span in level for half in halves(span) or ()]
        found += level
    return found


def front(units: int, measured: Mapping[Range, Change]) -> list[Change]:
    """The choices that no other choice beats in both error and time, the fastest first.

    ``measured``: what keeping a whole range changes; one that is not there is only put together
    from its parts. A gain in time that its doubt may explain counts as none.
    """
    known = {span: _sober(change, span) for span, change in measured.items()}
    return _undominated(_choices((0, units), known))


def _sober(change: Change, span: Range) -> Change:
    time = change.time
    if time < 0 <= time + change.doubt:
        time = 0.0
    return Change(change.error, time, tuple(range(*span)), change.doubt)


def _choices(span: Range, measured: Mapping[Range, Change]) -> list[Change]:
    """Every choice within ``span`` that may be part of a best one. Which of its ends are kept
    matters to its neighbours, so choices compete only with those of the same ends."""
    found = [Change(0.0, 0.0)]
    if split := halves(span):
        left, right = split
        saved = _saved(span, left, right, measured)
        others = _choices(right, measured)
        found = [_joined(a, b, left[1], saved) for a in _choices(left, measured) for b in others]
    if span in measured:
        found.append(measured[span])
    classes: dict[tuple[bool, bool], list[Change]] = {}
    for change in found:
        ends = span[0] in change.kept[:1], span[1] - 1 in change.kept[-1:]
        classes.setdefault(ends, []).append(change)
    return [c for some in classes.values() for c in _thin(_undominated(some))]


def _saved(span: Range, left: Range, right: Range, measured: Mapping[Range, Change]) -> float:
    """Time saved where two kept halves meet; 0 where the noise is as large."""
    if not {span, left, right} <= measured.keys():
        return 0.0
    parts = (measured[left], measured[right], measured[span])
    saved = parts[0].time + parts[1].time - parts[2].time
    return saved if saved > math.hypot(*(part.doubt for part in parts)) else 0.0


def _joined(a: Change, b: Change, middle: int, saved: float) -> Change:
    meet = middle - 1 in a.kept[-1:] and middle in b.kept[:1]
    time = a.time + b.time - (saved if meet else 0.0)
    return Change(a.error + b.error, time, (*a.kept, *b.kept))


def _undominated(changes: Iterable[Change]) -> list[Change]:
    """Those that nothing else beats or equals in both, the fastest first. Of equals the one that
    keeps least stays."""
    best = math.inf
    found = []
    for change in sorted(changes, key=lambda c: (c.time, c.error, len(c.kept), c.kept)):
        if change.error < best:
            best = change.error
            found.append(change)
    return found


def _thin(changes: Sequence[Change]) -> list[Change]:
    """At most ``WIDTH`` of a front, ends included, evenly spaced."""
    if len(changes) <= WIDTH:
        return list(changes)
    last = len(changes) - 1
    return [changes[round(i * last / (WIDTH - 1))] for i in range(WIDTH)]
