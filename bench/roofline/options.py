"""What a user may choose about a roofline."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from edgereid.bench.latency import LatencyOptions
from edgereid.bench.options import MAX_BATCH
from edgereid.bench.roofline.layers import ProfileOptions
from edgereid.errors import UsageError


def _timing() -> LatencyOptions:
    return LatencyOptions(min_time_s=1.0, min_count=20, max_time_s=90.0, warmup_runs=3)


@dataclass(frozen=True, slots=True)
class RooflineOptions:
    """What to measure and how. ``graph``: the ONNX file to count work from, for engines that are no
    ONNX file and lie in no bundle."""

    paths: tuple[Path, ...]
    data: Path | None = None
    layout: str | None = None
    batch: int = 1
    threads: int | None = None
    runtimes: tuple[str, ...] = ()
    graph: Path | None = None
    trust: bool = False
    latency: LatencyOptions = field(default_factory=_timing)
    profile: ProfileOptions = field(default_factory=ProfileOptions)

    def __post_init__(self) -> None:
        if not self.paths:
            raise UsageError("no path: give a bundle's directory or an engine file.")
        if not 1 <= self.batch <= MAX_BATCH:
            raise UsageError(f"a batch of {self.batch}: from 1 to {MAX_BATCH} are allowed.")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads: at least 1 is needed.")

    def to_json(self) -> dict[str, object]:
        """What a reader needs to repeat the run; paths by their last name only."""
        return {
            "paths": [path.resolve().name for path in self.paths],
            "batch": self.batch,
            "threads": self.threads,
            "runtimes": list(self.runtimes),
            "graph": None if self.graph is None else self.graph.name,
            "latency": asdict(self.latency),
            "profile": asdict(self.profile),
        }
