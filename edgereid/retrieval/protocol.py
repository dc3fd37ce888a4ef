"""The Market-1501 single-query protocol: what counts as found, what is passed over.

Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. For every query

* gallery entries of the same person by the *same camera* are passed over (neither right nor wrong),
* junk (person id -1) is passed over by every query,
* the same person by another camera is a true match,
* everything else is wrong, distractors (person id 0) included.

A query without a true match cannot be judged: it is dropped and counted. So is a query whose own
person id is 0 or -1, which is nobody's identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JUNK_PID = -1
#: Person ids up to this one (distractors, junk) are nobody: they have no true matches.
LAST_NOBODY_PID = 0

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class IndexLists:
    """Gallery indices per query: query q has ``indices[offsets[q]:offsets[q + 1]]``, ascending."""

    offsets: Ints  # (V + 1,)
    indices: Ints

    def rows(self, start: int, stop: int) -> IndexLists:
        """The lists of queries ``start`` to ``stop - 1``."""
        offsets = self.offsets[start : stop + 1]
        return IndexLists(offsets - offsets[0], self.indices[offsets[0] : offsets[-1]])


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """Which queries (Q) and gallery entries (G) take part, and how they relate.

    ``query_index`` (V,) and ``gallery_index`` (N,) select those that do; ``matches`` and
    ``ignored`` are lists over the V queries of positions *in the selected gallery* (0..N-1).
    """

    query_index: Ints
    gallery_index: Ints
    matches: IndexLists
    ignored: IndexLists


def judge(
    query_pids: Ints, query_camids: Ints, gallery_pids: Ints, gallery_camids: Ints
) -> Judgement:
    """Apply the protocol to labels: query arrays (Q,), gallery arrays (G,), int64."""
    gallery_index = np.flatnonzero(gallery_pids != JUNK_PID)
    pids, camids = gallery_pids[gallery_index], gallery_camids[gallery_index]
    owner, entry = _same_person_pairs(query_pids, pids)
    same_camera = query_camids[owner] == camids[entry]

    has_match = np.zeros(len(query_pids), dtype=np.bool_)
    has_match[owner[~same_camera]] = True
    taking_part = has_match[owner]
    right = taking_part & ~same_camera
    passed_over = taking_part & same_camera
    return Judgement(
        query_index=np.flatnonzero(has_match),
        gallery_index=gallery_index,
        matches=_lists(owner[right], entry[right], has_match),
        ignored=_lists(owner[passed_over], entry[passed_over], has_match),
    )


def _same_person_pairs(query_pids: Ints, gallery_pids: Ints) -> tuple[Ints, Ints]:
    """All pairs (query, gallery entry) of one person, ordered by query, then by entry."""
    by_person = np.argsort(gallery_pids, kind="stable")
    sorted_pids = gallery_pids[by_person]
    start = np.searchsorted(sorted_pids, query_pids, side="left")
    stop = np.searchsorted(sorted_pids, query_pids, side="right")
    counts = np.where(query_pids > LAST_NOBODY_PID, stop - start, 0)
    owner = np.repeat(np.arange(len(query_pids)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, by_person[np.repeat(start, counts) + within]


def _lists(owner: Ints, entry: Ints, has_match: NDArray[np.bool_]) -> IndexLists:
    """Pairs, ordered by query, as lists over the queries of ``has_match``."""
    counts = np.bincount(owner, minlength=len(has_match))[has_match]
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return IndexLists(offsets, np.ascontiguousarray(entry, dtype=np.int64))
