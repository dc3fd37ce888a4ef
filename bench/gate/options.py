"""What a user may ask of the gate."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from edgereid.bench.latency import LatencyOptions
from edgereid.errors import UsageError

MAX_BATCH = 1024
#: Half a minute at most for two engines that take turns.
LATENCY = LatencyOptions(min_time_s=2.0, min_count=50, min_rounds=12, max_time_s=20.0)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a candidate may lose. ``max_map_drop`` and ``max_rank1_drop`` in points (hundredths) of
    mAP and Rank-1, None: not judged; ``max_latency_ratio``: its time over the reference's, None:
    not measured; ``level``: the error rate of a verdict.

    Raises UsageError on what cannot be a budget.
    """

    max_map_drop: float | None = 0.5
    max_rank1_drop: float | None = 0.5
    max_latency_ratio: float | None = None
    level: float = 0.05

    def __post_init__(self) -> None:
        for name in ("max_map_drop", "max_rank1_drop"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 100:
                raise UsageError(f"{name} {value}: above 0 and below 100 points are allowed.")
        ratio = self.max_latency_ratio
        if ratio is not None and not (isfinite(ratio) and ratio > 0):
            raise UsageError(f"max_latency_ratio {ratio}: a number above 0 is needed.")
        if self.max_map_drop is None and self.max_rank1_drop is None:
            raise UsageError("no budget for mAP and none for Rank-1: give at least one.")
        if not 0.001 <= self.level <= 0.2:
            raise UsageError(f"error rate {self.level}: from 0.001 to 0.2 are allowed.")

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What is judged on what. ``reference`` None: the float network of the candidate's own bundle.

    ``layout`` None: recognised from the folder ``data``; the runtimes None: by the file, or the
    bundle's first engine that opens; ``cache`` None: the evaluation's default folder, unless
    ``no_cache``; ``mixed``: the gallery may hold features of the reference, so that both engines
    must be interchangeable; ``unlabelled``: a folder of crops for the certificate, None: the
    dataset's queries; ``batch``: images a run, ``max_batch``: the largest that
    will be used, ``latency_batch``: the size that is timed.
    """

    candidate: Path
    reference: Path | None
    data: Path
    budget: Budget = field(default_factory=Budget)
    layout: str | None = None
    candidate_runtime: str | None = None
    reference_runtime: str | None = None
    threads: int | None = None
    trust: bool = False
    cache: Path | None = None
    no_cache: bool = False
    mixed: bool = True
    unlabelled: Path | None = None
    batch: int = 16
    max_batch: int = 16
    latency_batch: int = 1
    latency: LatencyOptions = LATENCY

    def __post_init__(self) -> None:
        for name in ("batch", "max_batch", "latency_batch"):
            if not 1 <= getattr(self, name) <= MAX_BATCH:
                raise UsageError(f"{name} {getattr(self, name)}: from 1 to {MAX_BATCH} is allowed.")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads: at least 1 is needed.")
        if self.no_cache and self.cache is not None:
            raise UsageError("a cache and no cache contradict each other: give one.")

    @property
    def features(self) -> Path | None:
        """The folder that features are kept in; None: they are not kept."""
        if self.no_cache:
            return None
        if self.cache is not None:
            return self.cache
        from edgereid.evaluation.cache import default_folder

        return default_folder()

    def to_json(self) -> dict[str, Any]:
        """What a reader needs to repeat the run; paths by their last name only."""
        return {
            "candidate": self.candidate.resolve().name,
            "reference": None if self.reference is None else self.reference.resolve().name,
            "data": self.data.resolve().name,
            "budget": self.budget.to_json(),
            "layout": self.layout,
            "candidate_runtime": self.candidate_runtime,
            "reference_runtime": self.reference_runtime,
            "threads": self.threads,
            "mixed": self.mixed,
            "unlabelled": None if self.unlabelled is None else self.unlabelled.resolve().name,
            "batch": self.batch,
            "max_batch": self.max_batch,
            "latency_batch": self.latency_batch,
        }
