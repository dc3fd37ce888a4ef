"""What a user may choose about a bench run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from edgereid.bench.codec import encode
from edgereid.bench.latency import LatencyOptions
from edgereid.bench.scenarios.options import ScenarioOptions
from edgereid.engines.base import EngineOptions
from edgereid.errors import UsageError

MAX_BATCH = 1024


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to bench and how. ``max_map_drop``: the accuracy budget in points of mAP; with
    ``budget_required`` it is an error when the drop cannot be measured. ``scenarios`` None: none.
    """

    paths: tuple[Path, ...]
    data: Path | None = None
    layout: str | None = None  # of the data; None: recognised
    batches: tuple[int, ...] = (1, 16)
    threads: int | None = None
    max_map_drop: float = 0.5
    budget_required: bool = False
    runtimes: tuple[str, ...] = ()
    trust: bool = False
    accuracy_batch: int = 16
    latency: LatencyOptions = field(default_factory=LatencyOptions)
    scenarios: ScenarioOptions | None = None
    energy: bool = False
    cuda_graph: bool | None = None  # of TensorRT's rows; None: where it works

    @property
    def engine_options(self) -> EngineOptions:
        """What every engine is opened with."""
        return EngineOptions(self.threads, trust=self.trust, cuda_graph=self.cuda_graph)

    def __post_init__(self) -> None:
        if not self.paths:
            raise UsageError("no path: give a bundle's directory or an engine file.")
        wrong = [b for b in (*self.batches, self.accuracy_batch) if not 1 <= b <= MAX_BATCH]
        if wrong or not self.batches:
            raise UsageError(f"batch sizes {self.batches}: from 1 to {MAX_BATCH} are allowed.")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads: at least 1 is needed.")
        if not 0 <= self.max_map_drop <= 100:
            raise UsageError(f"a budget of {self.max_map_drop} points: 0 to 100 are allowed.")
        if self.budget_required and self.data is None:
            raise UsageError("an accuracy budget needs images: give --data DIR.")

    def to_json(self) -> dict[str, object]:
        """What a reader needs to repeat the run; paths by their last name only."""
        return {
            "paths": [path.resolve().name for path in self.paths],
            "batches": list(self.batches),
            "threads": self.threads,
            "max_map_drop": self.max_map_drop,
            "runtimes": list(self.runtimes),
            "accuracy_batch": self.accuracy_batch,
            "latency": asdict(self.latency),
            "scenarios": encode(self.scenarios),
            "cuda_graph": self.cuda_graph,
        }
