"""Two builds beside each other: two builds of one network need not be equal.

TensorRT times kernels while it builds and keeps the fastest, so that two builds may differ in
kernels, precision and fusion. Layers are paired by what they stand for, never by their place.
"""

from __future__ import annotations

from collections import Counter

from edgereid.bench.inspect.result import BuildResult, Comparison, Pair, Step


def compare(first: BuildResult, second: BuildResult) -> Comparison:
    """Pair the layers of two builds, in the order of the first, then what only the second has."""
    repeated = _repeated(first) | _repeated(second)
    left = {step.key: step for step in first.steps if step.key not in repeated}
    right = {step.key: step for step in second.steps if step.key not in repeated}
    keys = [*left, *(key for key in right if key not in left)]
    return Comparison(
        first=first.label,
        second=second.label,
        pairs=tuple(_pair(left.get(key), right.get(key)) for key in keys),
        unclear=sum(step.key in repeated for b in (first, second) for step in b.steps),
    )


def _repeated(build: BuildResult) -> set[str]:
    return {k for k, number in Counter(s.key for s in build.steps).items() if number > 1}


def _pair(first: Step | None, second: Step | None) -> Pair:
    if first is None or second is None:
        return Pair(first, second, ("only in one",))
    told = first.precision is not None and second.precision is not None
    changed = [
        word
        for word, differs in (
            ("precision", told and first.precision != second.precision),
            ("tactic", bool(first.tactic and second.tactic) and first.tactic != second.tactic),
        )
        if differs
    ]
    return Pair(first, second, tuple(changed))
