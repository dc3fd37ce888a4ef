"""Learning rates as pure functions of time ``t`` in epochs (0-based, with fractions).

Every schedule is a row of ``SCHEDULES``, every warm-up a row of ``WARMUPS``; a row takes the peak
``lr``, the time and the numbers of a ``Timetable``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timetable:
    """The numbers of a schedule, in epochs: ``warmup`` at its begin, ``end`` without the averaging
    phase, ``milestones`` after which the rate is multiplied by ``decay``."""

    end: float
    warmup: float = 0.0
    milestones: tuple[float, ...] = ()
    decay: float = 0.1


def linear_warmup(lr: float, t: float, length: float) -> float:
    """From a hundredth of ``lr`` at 0 to ``lr`` at ``length``, step by step."""
    return lr * (t + 1e-2 * length) / (1.01 * length)


def stepped_warmup(lr: float, t: float, length: float) -> float:
    """The same rate for a whole epoch: lr * (epoch + 1) / length (Robust-ReID paper, eq. 1)."""
    return lr * min(1.0, (math.floor(t) + 1) / length)


def cosine(lr: float, t: float, table: Timetable) -> float:
    """0.5 * lr * (1 + cos(pi * progress)) from the end of the warm-up to the end."""
    span = table.end - table.warmup
    return 0.5 * lr * (1 + math.cos(math.pi * (t - table.warmup) / span))


def multi_step(lr: float, t: float, table: Timetable) -> float:
    """``lr``, multiplied by ``decay`` at every milestone that has passed."""
    passed = sum(t >= m for m in table.milestones)
    return lr * math.pow(table.decay, passed)


def constant(lr: float, t: float, table: Timetable) -> float:
    """``lr``."""
    return lr


def cyclic_cosine(lr: float, t: float, length: float, decay: float) -> float:
    """Cosine to 0 in every cycle of ``length`` epochs, the peak of cycle c at lr * decay^c.

    The learning rate while weights are averaged (Robust-ReID paper, SWAG phase); t from its begin.
    """
    cycle, within = divmod(t, length)
    return 0.5 * lr * math.pow(decay, cycle) * (1 + math.cos(math.pi * within / length))


SCHEDULES: dict[str, Callable[[float, float, Timetable], float]] = {
    "cosine": cosine,
    "multi-step": multi_step,
    "constant": constant,
}
WARMUPS: dict[str, Callable[[float, float, float], float]] = {
    "linear": linear_warmup,
    "stepped": stepped_warmup,
}


def scheduled(schedule: str, warmup: str, lr: float, t: float, table: Timetable) -> float:
    """The rate of the rows ``warmup``, then ``schedule``."""
    if t < table.warmup:
        return WARMUPS[warmup](lr, t, table.warmup)
    return SCHEDULES[schedule](lr, t, table)
