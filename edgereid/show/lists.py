"""What the page shows: for every chosen query the heads of the engines' ranked lists, and how the
second differs from the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.retrieval.ranking import RankedLists


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in a list. ``before``: its rank in the first engine's list, None when it was not in
    its head."""

    record: ImageRecord
    rank: int
    distance: float
    right: bool
    before: int | None


@dataclass(frozen=True, slots=True)
class EngineList:
    """One engine's answer. ``flips``: ranks at which right and wrong changed places."""

    entries: tuple[Entry, ...]
    first_match: int
    average_precision: float
    flips: frozenset[int]


@dataclass(frozen=True, slots=True)
class QueryView:
    """A query and the answers, in the order of the engines."""

    record: ImageRecord
    answers: tuple[EngineList, ...]

    @property
    def change(self) -> float:
        """Average precision lost from the first engine to the last."""
        return self.answers[0].average_precision - self.answers[-1].average_precision


def views(dataset: ReidDataset, found: Sequence[RankedLists]) -> list[QueryView]:
    """A view for every query that can be judged; ``found`` has one element an engine."""
    out = []
    for row, index in enumerate(found[0].query_index):
        answers = tuple(_answer(dataset, lists, found[0], row) for lists in found)
        out.append(QueryView(dataset.query[int(index)], answers))
    return out


def _answer(dataset: ReidDataset, lists: RankedLists, first: RankedLists, row: int) -> EngineList:
    places = {int(g): rank for rank, g in enumerate(first.gallery_index[row], start=1) if g >= 0}
    entries = tuple(
        Entry(
            dataset.gallery[int(g)],
            rank,
            float(lists.distance[row, rank - 1]),
            bool(lists.right[row, rank - 1]),
            places.get(int(g)),
        )
        for rank, g in enumerate(lists.gallery_index[row], start=1)
        if g >= 0
    )
    changed = np.flatnonzero(lists.right[row] != first.right[row]) + 1
    return EngineList(
        entries,
        int(lists.first_match[row]),
        float(lists.average_precision[row]),
        frozenset(int(rank) for rank in changed),
    )


def _file(view: QueryView) -> Path:
    return view.record.path


ORDERS: dict[str, Callable[[QueryView], float]] = {
    "worst": lambda view: view.answers[-1].average_precision,
    "best": lambda view: -view.answers[-1].average_precision,
    "flips": lambda view: -abs(view.change),
    "file": lambda view: 0.0,
}


def choose(all_views: Sequence[QueryView], sort: str, count: int) -> list[QueryView]:
    """The first ``count`` by ``sort``; equal ones in the order of their file names."""
    key = ORDERS[sort]
    return sorted(all_views, key=lambda view: (key(view), _file(view)))[:count]
