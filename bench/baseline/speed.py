"""Whether an engine has become slower, from runs made at different times.

Two runs are not alternated, so their absolute times are no comparison. Compared is an engine's
*cost*: the log of its time over that of a reference which took turns with it in the same run, so
that what the machine did to both cancels. What is left between runs (memory layout, clocks,
neighbours) is learnt from earlier runs: a new run is judged by the prediction interval of one more
observation, mean +- t s sqrt(1 + 1/n) with n - 1 degrees of freedom (G. Hahn and W. Meeker,
"Statistical Intervals", 1991, section 4.8).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgereid.bench.baseline.student import quantile, tail
from edgereid.errors import InputError

MIN_RUNS = 3
MIN_ROUNDS = 3
#: Relative; a clock and a scheduler tell no finer difference, whatever the spread happens to be.
RESOLUTION = 0.001


@dataclass(frozen=True, slots=True)
class Cost:
    """Log of engine time over reference time in one run, and the variance of that within the run
    (of a median over rounds: pi / 2 times that of a mean)."""

    value: float
    variance: float


def cost(engine_ns: Sequence[int], reference_ns: Sequence[int]) -> Cost:
    """From the medians of the rounds, (rounds,) each, of an engine and of the reference.

    Raises InputError when they do not pair up or are fewer than ``MIN_ROUNDS``.
    """
    rounds = len(engine_ns)
    if rounds != len(reference_ns) or rounds < MIN_ROUNDS:
        raise InputError(
            f"{rounds} and {len(reference_ns)} rounds of turns: {MIN_ROUNDS} are needed of both."
        )
    a = np.maximum(np.asarray(engine_ns, dtype=np.float64), 1.0)
    b = np.maximum(np.asarray(reference_ns, dtype=np.float64), 1.0)
    logs = np.log(a / b)
    return Cost(float(np.median(logs)), float(math.pi / 2 * logs.var(ddof=1) / rounds))


@dataclass(frozen=True, slots=True)
class Slowdown:
    """How much dearer a new run is than the earlier ones: logs, and p-values for either side."""

    value: float
    scale: float
    runs: int
    p_slower: float
    p_faster: float

    def interval(self, level: float) -> tuple[float, float]:
        """The two-sided prediction interval of the difference, moved to the new run."""
        half = quantile((1 - level) / 2, self.runs - 1) * self.scale
        return self.value - half, self.value + half


def slowdown(earlier: Sequence[Cost], new: Cost) -> Slowdown:
    """Judge ``new``; at least ``MIN_RUNS`` earlier runs are needed (InputError).

    The spread between runs is never taken to be smaller than the noise within them; a new run that
    was measured more briefly than the earlier ones brings its own additional noise.
    """
    n = len(earlier)
    if n < MIN_RUNS:
        raise InputError(f"{n} earlier runs: {MIN_RUNS} are needed to know the noise between runs.")
    values = np.array([run.value for run in earlier])
    within = float(np.mean([run.variance for run in earlier]))
    between = max(float(values.var(ddof=1)), within, RESOLUTION**2)
    scale = math.sqrt(between * (1 + 1 / n) + max(0.0, new.variance - within))
    difference = new.value - float(values.mean())
    t = difference / scale
    return Slowdown(difference, scale, n, tail(t, n - 1), tail(-t, n - 1))
