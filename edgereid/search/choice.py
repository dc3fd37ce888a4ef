"""A choice of precisions: which units stay float, and what float arithmetic runs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """Units (numbers, ascending) kept in float, of ``units`` in all; ``arithmetic``: what the float
    layers run in, one for the whole engine, as runtimes have it. All units kept: the float network
    itself, nothing quantised."""

    arithmetic: str
    kept: tuple[int, ...]
    units: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", tuple(sorted(set(self.kept))))

    @property
    def is_float(self) -> bool:
        return len(self.kept) == self.units

    @property
    def key(self) -> str:
        """Tells choices apart in files: "bf16:", "bf16:0,3,4", "f32:all"."""
        which = "all" if self.is_float else ",".join(map(str, self.kept))
        return f"{self.arithmetic}:{which}"

    @property
    def label(self) -> str:
        """For people."""
        if self.is_float:
            return f"float, all in {self.arithmetic}"
        if not self.kept:
            return f"all INT8, rest in {self.arithmetic}"
        return f"{len(self.kept)} of {self.units} units in {self.arithmetic}"


def all_int8(arithmetic: str, units: int) -> Choice:
    return Choice(arithmetic, (), units)


def all_float(arithmetic: str, units: int) -> Choice:
    return Choice(arithmetic, tuple(range(units)), units)


def keeping(choice: Choice, more: Sequence[int]) -> Choice:
    """``choice`` with more units in float."""
    return Choice(choice.arithmetic, (*choice.kept, *more), choice.units)
