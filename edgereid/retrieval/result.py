"""What an evaluation found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import UsageError

CMC_RANKS = (1, 5, 10, 20)


@dataclass(frozen=True, slots=True, eq=False)
class RetrievalResult:
    """Retrieval quality, all shares in 0..1; arrays are over the V valid queries in query order."""

    protocol: str  # protocol, distance, definition of AP, rule for ties: in words, for reports
    cmc: dict[int, float]  # share of valid queries with a true match up to rank 1, 5, 10, 20
    mean_ap: float
    mean_inp: float
    average_precision: NDArray[np.float64]  # (V,)
    first_match: NDArray[np.int64]  # (V,) rank, from 1, of the first true match
    query_index: NDArray[np.int64]  # (V,) position of each valid query among all queries
    valid_queries: int  # V
    dropped_queries: int  # without a true match in another camera

    def rank(self, k: int) -> float:
        """CMC at ``k``: the share of valid queries with a true match among their first ``k``."""
        if k < 1:
            raise UsageError(f"rank {k}: ranks count from 1.")
        return float(np.mean(self.first_match <= k))
