"""Published latencies, with their sources, and the layers of the networks they were measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgereid.bench.estimate.devices import Device
from edgereid.bench.estimate.fuse import KINDS, FusedLayer
from edgereid.files import read_json

MEASUREMENTS = Path(__file__).with_name("measurements.json")
NETWORKS = Path(__file__).with_name("networks.json")


@dataclass(frozen=True, slots=True)
class Publication:
    """A page with measurements; ``method`` says what its figures include. ``old``: of releases
    before TensorRT 5, which this project does not support: shown, but in no fit and no interval."""

    title: str
    url: str
    read: str
    method: str
    old: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """A published latency. ``ms`` is a whole batch's; ``quote``: the words it was read from."""

    network: str
    device: str
    precision: str
    batch: int
    ms: float
    runtime: str
    source: str
    quote: str

    @property
    def key(self) -> str:
        return f"{self.network} {self.device} {self.precision} b{self.batch} {self.source}"


@cache
def publications() -> dict[str, Publication]:
    """Every page by its short name."""
    return {k: Publication(**v) for k, v in read_json(MEASUREMENTS)["sources"].items()}


@cache
def measurements() -> tuple[Measurement, ...]:
    """Every published latency, in the order of the file."""
    return tuple(Measurement(**row) for row in read_json(MEASUREMENTS)["measurements"])


@cache
def networks() -> dict[str, tuple[FusedLayer, ...]]:
    """The fused layers of each network, of one image."""
    return {k: layers_from_json(v["layers"]) for k, v in read_json(NETWORKS)["networks"].items()}


def layers_from_json(rows: Sequence[Sequence[Any]]) -> tuple[FusedLayer, ...]:
    """The inverse of ``layers_to_json``."""
    return tuple(FusedLayer(KINDS[kind], *numbers) for kind, *numbers in rows)


def layers_to_json(layers: Sequence[FusedLayer]) -> list[list[int]]:
    """A row a layer: index of its kind, MACs, activations, weights."""
    return [[KINDS.index(x.kind), x.macs, x.activations, x.weights] for x in layers]


def in_fit(found: Sequence[Measurement]) -> list[Measurement]:
    """Those of releases that are fitted."""
    return [row for row in found if row.source not in old_sources()]


@cache
def old_sources() -> frozenset[str]:
    """Pages with figures of old releases."""
    return frozenset(name for name, page in publications().items() if page.old)


def by_board(
    found: Sequence[Measurement], devices: Mapping[str, Device]
) -> Mapping[str, list[Measurement]]:
    """Measurements by board, in order: a board at two clocks is one device to hold out."""
    groups: dict[str, list[Measurement]] = {}
    for row in found:
        groups.setdefault(devices[row.device].board, []).append(row)
    return groups
