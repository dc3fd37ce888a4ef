"""Compiled kernels; use the functions of edgereid.native."""

import numpy as np
from numpy.typing import NDArray

def match_ranks(
    distances: NDArray[np.float32],
    match_offsets: NDArray[np.int64],
    matches: NDArray[np.int64],
    ignored_offsets: NDArray[np.int64],
    ignored: NDArray[np.int64],
    ranks: NDArray[np.int64],
    threads: int,
) -> None: ...
def histogram_add(
    values: NDArray[np.float32], counts: NDArray[np.int64], inverse_width: float
) -> bool: ...
def min_max(values: NDArray[np.float32]) -> tuple[float, float, int]: ...
