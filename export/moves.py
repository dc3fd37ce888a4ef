"""Grids that several tensors share because operators bring their values together unchanged.

``Concat``, ``Split``, ``Reshape`` and their like move values and change none. If all that enters
such operators lies on one grid, so does all that leaves them, and the 8-bit codes move as they are:
nothing is rounded twice, and no copy is made in float. ShuffleNet's units are the plain case: half
of the channels pass a whole stage.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

from edgereid.calibration.histogram import Histogram, merge
from edgereid.export.graph import Graph

#: Operator -> how many of its inputs are data; None: all.
MOVES: dict[str, int | None] = {
    "Concat": None,
    "Flatten": 1,
    "Identity": 1,
    "Reshape": 1,
    "Slice": 1,
    "Split": 1,
    "Squeeze": 1,
    "Transpose": 1,
    "Unsqueeze": 1,
}


@dataclass(frozen=True, slots=True)
class SharedGrid:
    """``entries`` are made by other operators and rounded; ``carried`` are these, moved."""

    entries: tuple[str, ...]
    carried: frozenset[str]

    @property
    def name(self) -> str:
        """What the calibration table calls the range: of one tensor, or of several."""
        first = self.entries[0]
        return first if len(self.entries) == 1 else f"shared/{first}"


def shared_grids(
    graph: Graph,
    moves: Collection[str],
    chosen: Collection[str],
    pooled: Mapping[str, str] | None = None,
) -> tuple[SharedGrid, ...]:
    """The tensors that ``moves`` join, where one of them is in ``chosen``, in the graph's order.
    With one that is ``pooled`` (result -> what is pooled, on one grid) goes the other.

    Left out is what holds a constant or an output of the graph."""
    nodes = [node for node in graph.nodes if node.op_type in moves]
    joined = _Sets()
    for node in nodes:
        for name in (*node.input[: MOVES[node.op_type]], *node.output):
            joined.join(node.output[0], name)
    for name, source in (pooled or {}).items():
        joined.join(name, source)
    moved = {name for node in nodes for name in node.output}
    barred = {*graph.weights, *(o.name for o in graph.model.graph.output)}
    order = [graph.input, *(name for node in graph.nodes for name in node.output)]
    found = []
    for members in joined.sets():
        if members.isdisjoint(chosen) or members.isdisjoint(moved) or members & barred:
            continue
        entries = tuple(n for n in order if n in members and n not in moved)
        found.append(SharedGrid(entries, frozenset(members & moved)))
    return tuple(sorted(found, key=lambda grid: order.index(grid.entries[0])))


class _Sets:
    """Disjoint sets of names."""

    def __init__(self) -> None:
        self._of: dict[str, set[str]] = {}

    def join(self, a: str, b: str) -> None:
        one, other = self._of.setdefault(a, {a}), self._of.setdefault(b, {b})
        if one is not other:
            one |= other
            self._of.update(dict.fromkeys(other, one))

    def sets(self) -> Iterable[set[str]]:
        return {id(members): members for members in self._of.values()}.values()


def with_shared(
    histograms: Mapping[str, Histogram], shared: Mapping[str, tuple[str, ...]]
) -> dict[str, Histogram]:
    """``histograms`` and, for every shared grid (name -> its entries), that of all entries; its
    mean extremes are those of the entries that reach farthest, not the mean over entries."""
    out = dict(histograms)
    for name, entries in shared.items():
        parts = [histograms[e] for e in entries]
        images = math.lcm(*(max(1, h.images) for h in parts))
        times = [images // max(1, h.images) for h in parts]
        out[name] = replace(
            reduce(merge, (replace(h, name=name) for h in parts)),
            images=images,
            low_sum=min(h.low_sum * n for h, n in zip(parts, times, strict=True)),
            high_sum=max(h.high_sum * n for h, n in zip(parts, times, strict=True)),
        )
    return out
