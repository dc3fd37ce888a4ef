"""What INT8 costs and gains in every unit, measured on the target's engine.

Cost, two ways: the error that goes away when only this unit is float among INT8 ("adds"), and the
error when only this unit is INT8 in the float network ("alone"). Where both agree, errors add up.
Gain: the time that the engine takes longer when this unit alone is float, in turns with all INT8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgereid.progress import progress
from edgereid.search.choice import Choice, all_float, all_int8
from edgereid.search.journal import Journal
from edgereid.search.judge import ERROR_RATE
from edgereid.search.measured import Agreement, Cost, Drop
from edgereid.search.outcome import Part
from edgereid.search.parts import Anchors, Measurer, anchors, groups_of, measure_group
from edgereid.search.rig import Rig
from edgereid.search.units import Unit


@dataclass(frozen=True, slots=True)
class Row:
    """One unit. Errors are shares of what all INT8 adds to float; ``kept``: share of best matches
    that stay with only this unit in INT8; ``drop``: loss of mAP then, None: no labels."""

    unit: Unit
    macs_share: float
    error: float
    error_alone: float
    kept: float
    drop: Drop | None
    cost: Cost  # of keeping it in float, all INT8 is 1

    @property
    def saved(self) -> tuple[float, float, float]:
        """Time that INT8 saves here, as a share of the all-INT8 engine's, with its interval."""
        return self.cost.value - 1, self.cost.low - 1, self.cost.high - 1

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit.name,
            "nodes": list(self.unit.nodes),
            "macs_share": self.macs_share,
            "error": self.error,
            "error_alone": self.error_alone,
            "best_match_kept": self.kept,
            "drop": None if self.drop is None else self.drop.to_json(),
            "cost_of_float": self.cost.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """All units, the corners they lie between, and what to know when reading them."""

    target: str
    network: str
    arithmetic: str
    corners: Anchors
    rows: tuple[Row, ...]
    int8: Agreement
    int8_drop: Drop | None
    evidence: str
    additivity: float | None

    @property
    def title(self) -> str:
        return f"{self.network} on {self.target}, float layers in {self.arithmetic}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the figures mean and rest on."""
        gain = self.corners.float_over_int8(self.arithmetic)
        adds = "" if self.additivity is None else f"; single units add up to {self.additivity:.2f}"
        drop = "" if self.int8_drop is None else f", {self.int8_drop.points:.2f} points of mAP"
        return (
            f"all INT8: {gain.value:.2f} times as fast as float (interval {gain.low:.2f} to "
            f"{gain.high:.2f}); centred cosine {self.int8.cosine:.5f}{drop}{adds}",
            "errors: shares of the squared embedding error of all INT8; time: share of that "
            "engine's, 95 % interval; noise: the interval holds 0",
            f"accuracy: {self.evidence}",
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "network": self.network,
            "arithmetic": self.arithmetic,
            "float": {a: cost.to_json() for a, cost in self.corners.floats.items()},
            "int8": {a: cost.to_json() for a, cost in self.corners.int8.items()},
            "int8_agreement": self.int8.to_json(),
            "int8_drop": None if self.int8_drop is None else self.int8_drop.to_json(),
            "additivity": self.additivity,
            "evidence": self.evidence,
            "units": [row.to_json() for row in self.rows],
        }


def run_sensitivity(
    rig: Rig, units: tuple[Unit, ...], network: str, target: str, evidence: str, with_map: bool
) -> Sensitivity:
    """Measure every unit; ``with_map``: the loss of mAP of each, too, where there are labels."""
    measurer = Measurer(rig, Journal(None, ""))
    corners = anchors(measurer)
    arithmetic = corners.arithmetic()
    base, plain = all_int8(arithmetic, rig.units), all_float(arithmetic, rig.units)
    int8, floats = measurer.agreement(base), measurer.agreement(plain)
    whole = int8.error - floats.error
    macs = max(1, sum(unit.macs for unit in units))
    singles = [(i, i + 1) for i in range(rig.units)]
    groups = groups_of(singles)
    rows = []
    for group in progress(groups, label="units", total=len(groups)):
        for (i, _), (cost, without) in measure_group(measurer, base, group).items():
            only = Choice(arithmetic, tuple(k for k in range(rig.units) if k != i), rig.units)
            alone = measurer.agreement(only) if rig.units > 1 else int8
            drop = rig.drop(only if rig.units > 1 else base, ERROR_RATE) if with_map else None
            rows.append(
                Row(
                    units[i],
                    units[i].macs / macs,
                    _share(int8.error - without.error, whole),
                    _share(alone.error - floats.error, whole),
                    alone.kept,
                    drop,
                    cost,
                )
            )
    return Sensitivity(
        target,
        network,
        arithmetic,
        corners,
        tuple(rows),
        int8,
        rig.drop(base, ERROR_RATE) if with_map else None,
        evidence,
        sum(row.error_alone for row in rows) if whole > 0 else None,
    )


def _share(error: float, whole: float) -> float:
    return error / whole if whole > 0 else 0.0


def parts_of(found: Sensitivity) -> tuple[Part, ...]:
    """The rows as the search's parts, for the drawing they share."""
    return tuple(Part(i, i + 1, row.cost, row.error) for i, row in enumerate(found.rows))
