"""What a user may choose about an evaluation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from edgereid.errors import UsageError
from edgereid.evaluation.extract import Extraction
from edgereid.retrieval.evaluate import AVERAGE_PRECISION
from edgereid.retrieval.multiquery import POOLINGS
from edgereid.retrieval.rerank import ReRanking

METRICS = ("auto", "cosine", "euclidean")
AP_VARIANTS = tuple(AVERAGE_PRECISION)


@dataclass(frozen=True, slots=True)
class Protocol:
    """How features are scored. ``metric`` "auto": the distance that the engine's manifest names;
    ``multi_query``: how all images of the query's person by its camera become one, None: the query
    alone; ``reranking``: k-reciprocal re-ranking, None: the distances as they are."""

    metric: str = "auto"
    ap: str = "precision"
    multi_query: str | None = None
    reranking: ReRanking | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("metric", self.metric, METRICS),
            ("average precision", self.ap, AP_VARIANTS),
            ("multi-query pooling", self.multi_query or POOLINGS[0], POOLINGS),
        ):
            if value not in allowed:
                raise UsageError(f"{name} {value!r} is unknown: {', '.join(allowed)}.")


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What to evaluate on what. ``layout`` None: recognised from the folder; ``runtimes``: only
    these, or what opens a file; ``precision``: of a file, what its float arithmetic runs in, of a
    bundle, only the engines of that precision; ``cache`` None: every image is run."""

    path: Path
    data: Path
    layout: str | None = None
    runtimes: tuple[str, ...] = ()
    precision: str | None = None
    threads: int | None = None
    extraction: Extraction = field(default_factory=Extraction)
    protocol: Protocol = field(default_factory=Protocol)
    skip_corrupt: bool = False
    cache: Path | None = None
    trust: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads: at least 1 is needed.")

    def to_json(self) -> dict[str, object]:
        """What a reader needs to repeat the run; paths by their last name only."""
        return {
            "path": self.path.resolve().name,
            "layout": self.layout,
            "runtimes": list(self.runtimes),
            "precision": self.precision,
            "threads": self.threads,
            "batch": self.extraction.batch,
            "flip": self.extraction.flip,
            "metric": self.protocol.metric,
            "ap": self.protocol.ap,
            "multi_query": self.protocol.multi_query,
            "reranking": None if (r := self.protocol.reranking) is None else asdict(r),
            "skip_corrupt": self.skip_corrupt,
        }
