"""Which repairs a user may choose. Light: the command line reads it for its help."""

from __future__ import annotations

from dataclasses import dataclass

from edgereid.errors import UsageError

WEIGHTS = ("minmax", "mse")
ROUNDINGS = ("nearest", "learned")


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """``scales`` of weights: how they are chosen; ``equalize`` channels between layers, before
    calibration; ``bias_correction``; ``rounding`` of weights: nearest or learned."""

    scales: str = WEIGHTS[0]
    equalize: bool = False
    bias_correction: bool = False
    rounding: str = ROUNDINGS[0]

    def __post_init__(self) -> None:
        for name, value, known in (
            ("weight-scales", self.scales, WEIGHTS),
            ("rounding", self.rounding, ROUNDINGS),
        ):
            if value not in known:
                raise UsageError(f"unknown --{name} {value!r}: {', '.join(known)} are known.")

    @property
    def mends(self) -> bool:
        """Whether anything is changed after calibration."""
        return self.scales != WEIGHTS[0] or self.bias_correction or self.rounding != ROUNDINGS[0]
