"""What a user may choose about a page of ranked lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgereid.errors import UsageError
from edgereid.evaluation.options import METRICS
from edgereid.show.lists import ORDERS

MAX_QUERIES, MAX_TOP = 1000, 50


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """``paths``: a bundle, or one or two engine files, the reference first. ``queries`` are chosen
    by ``sort``: by the last engine's average precision, by its change, or by file name. ``cache``:
    where ``edgereid eval`` keeps features, None: every image is run."""

    paths: tuple[Path, ...]
    data: Path
    out: Path
    layout: str | None = None
    queries: int = 50
    top: int = 10
    sort: str = "worst"
    metric: str = "auto"
    maps: bool = False
    threads: int | None = None
    trust: bool = False
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.paths) <= 2:
            raise UsageError(f"{len(self.paths)} paths: give a bundle, or one or two engines.")
        for name, value, most in (
            ("queries", self.queries, MAX_QUERIES),
            ("entries a list", self.top, MAX_TOP),
        ):
            if not 1 <= value <= most:
                raise UsageError(f"{value} {name}: from 1 to {most} are allowed.")
        for name, text, allowed in (
            ("sort", self.sort, tuple(ORDERS)),
            ("metric", self.metric, METRICS),
        ):
            if text not in allowed:
                raise UsageError(f"{name} {text!r} is unknown: {', '.join(allowed)}.")
