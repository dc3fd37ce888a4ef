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

class NearestTable:
    def __init__(self, squares: NDArray[np.float32], neighbours: int) -> None: ...
    def add(self, block: NDArray[np.float32], threads: int) -> None: ...
    def finish(self, indices: NDArray[np.int32], maxima: NDArray[np.float32]) -> None: ...

class ReciprocalEncoding:
    def __init__(
        self,
        features: NDArray[np.float32],
        squares: NDArray[np.float32],
        maxima: NDArray[np.float32],
        neighbours: NDArray[np.int32],
        queries: int,
        k1: int,
        k2: int,
        threads: int,
    ) -> None: ...
    def mix(
        self,
        products: NDArray[np.float32],
        first: int,
        weight: float,
        out: NDArray[np.float32],
        threads: int,
    ) -> None: ...
