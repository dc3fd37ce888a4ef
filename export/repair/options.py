"""Which repairs a user may choose. Light: the command line reads it for its help."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgereid.errors import UsageError

WEIGHTS = ("minmax", "mse")
ROUNDINGS = ("auto", "learned", "nearest")


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """``scales`` of weights: how they are chosen; ``equalize`` channels between layers, before
    calibration; ``bias_correction``; ``rounding`` of weights, of which ``auto`` is learned
    wherever that brings the embeddings nearer to the float network's."""

    scales: str = WEIGHTS[0]
    equalize: bool = False
    bias_correction: bool = False
    rounding: str = "auto"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("weight-scales", self.scales, WEIGHTS),
            ("rounding", self.rounding, ROUNDINGS),
        ):
            if value not in known:
                raise UsageError(f"unknown --{name} {value!r}: {', '.join(known)} are known.")

    @property
    def mends(self) -> bool:
        """Whether anything may be changed after calibration."""
        return self.scales != WEIGHTS[0] or self.bias_correction or self.rounding != "nearest"

    def decided(self, trained: bool) -> RepairOptions:
        """These options for weights that were ``trained`` to work rounded to nearest, or not: for
        the former ``auto`` is nearest."""
        return replace(self, rounding="nearest") if trained and self.rounding == "auto" else self
