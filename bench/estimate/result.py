"""What an estimate is: predictions, and nothing that could be taken for a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgereid.bench.estimate.devices import Device

KIND = "edgereid-estimate"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Predicted:
    """One precision at one batch size. ``ms`` a batch; the interval held the share ``coverage`` of
    published figures that the fit had not seen; energy an image if the device draws its largest
    budget; shares of the predicted time by what bounds it."""

    precision: str
    batch: int
    ms: float
    low_ms: float
    high_ms: float
    coverage: float
    images_per_s: float
    energy_mj: float
    compute_share: float
    memory_share: float
    launch_share: float
    calibrated: bool

    def to_json(self) -> dict[str, Any]:
        """Every predicted figure is called so."""
        return {
            "precision": self.precision,
            "batch": self.batch,
            "predicted_ms": self.ms,
            "predicted_interval_ms": [self.low_ms, self.high_ms],
            "interval_coverage": self.coverage,
            "predicted_images_per_s": self.images_per_s,
            "predicted_energy_mj_per_image": self.energy_mj,
            "predicted_shares": {
                "compute": self.compute_share,
                "memory": self.memory_share,
                "launch": self.launch_share,
            },
            "calibrated": self.calibrated,
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """A network on a device: ``layers`` launches, ``macs`` of one image."""

    network: str
    device: Device
    layers: int
    macs: int
    rows: tuple[Predicted, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "measured": False,
            "network": self.network,
            "device": self.device.name,
            "power_mode": self.device.power_mode,
            "assumed_watts": self.device.watts,
            "layers": self.layers,
            "macs": self.macs,
            "rows": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
        }
