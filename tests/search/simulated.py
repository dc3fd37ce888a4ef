"""A simulated engine with a known law: latency of a chain whose borders between float and INT8
cost time, accuracy a sum of the units' errors. Its noise depends on what is measured, not on when,
so that a search that is taken up again sees what it would have seen."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edgereid.search.choice import Choice
from edgereid.search.measured import Agreement, Cost, Drop
from edgereid.search.rig import Effort


@dataclass
class Simulated:
    """``float_ms`` by arithmetic and unit, ``int8_ms`` and ``errors`` by unit. ``border_ms``: where
    float and INT8 meet. A drop in points is ``points_per_error`` times the error. ``noise``: the
    standard deviation of a ratio after one second of turns."""

    float_ms: dict[str, Sequence[float]]
    int8_ms: Sequence[float]
    errors: Sequence[float]
    border_ms: float = 0.0
    rest_ms: float = 1.0
    float_errors: dict[str, float] = field(default_factory=dict)
    points_per_error: float = 10.0
    noise: float = 0.0
    seed: int = 0
    labelled: bool = True
    calls: int = 0

    @property
    def units(self) -> int:
        return len(self.int8_ms)

    @property
    def arithmetics(self) -> tuple[str, ...]:
        return tuple(self.float_ms)

    def time(self, choice: Choice) -> float:
        kept = [i in choice.kept for i in range(self.units)]
        slow = self.float_ms[choice.arithmetic]
        inner = sum(slow[i] if k else self.int8_ms[i] for i, k in enumerate(kept))
        borders = sum(a != b for a, b in itertools.pairwise(kept))
        return self.rest_ms + inner + borders * self.border_ms

    def error(self, choice: Choice) -> float:
        rounding = self.float_errors.get(choice.arithmetic, 0.0)
        return rounding + sum(e for i, e in enumerate(self.errors) if i not in choice.kept)

    def true_drop(self, choice: Choice) -> float:
        return self.points_per_error * self.error(choice)

    def race(self, choices: Sequence[Choice], effort: Effort) -> list[Cost]:
        self.calls += 1
        spread = self.noise / np.sqrt(effort.seconds)
        found = []
        for choice in choices:
            text = f"{self.seed} {effort} {[c.key for c in choices]} {choice.key}"
            rng = np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:15], 16))
            ratio = self.time(choice) / self.time(choices[0])
            value = 1.0 if choice is choices[0] else ratio * float(np.exp(spread * rng.normal()))
            half = 0.0 if choice is choices[0] else 2 * spread * value
            found.append(Cost(value, value - half, value + half, self.time(choice)))
        return found

    def agreement(self, choice: Choice) -> Agreement:
        self.calls += 1
        error = self.error(choice)
        return Agreement(error, 1 - error / 2, 1 - error)

    def drop(self, choice: Choice, level: float) -> Drop | None:
        self.calls += 1
        points = self.true_drop(choice)
        return Drop(points, points, level, 100, 50) if self.labelled else None

    def every_choice(self) -> list[Choice]:
        kept = itertools.product((False, True), repeat=self.units)
        return [
            Choice(a, tuple(i for i, k in enumerate(some) if k), self.units)
            for some in kept
            for a in self.float_ms
        ]

    def optimum(self, max_drop: float) -> Choice:
        """By brute force: the fastest of all choices within the budget."""
        able = [c for c in self.every_choice() if self.true_drop(c) <= max_drop]
        able.append(Choice("f32", tuple(range(self.units)), self.units))
        return min(able, key=self.time)
