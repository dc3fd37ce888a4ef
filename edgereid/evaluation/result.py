"""What an evaluation found: the content of the result file. Tables are views on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.retrieval import RetrievalResult

KIND = "edgereid-eval"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What was evaluated. ``precision``: what it is meant to run in, ``runs_as``: what the runtime
    tells; ``preprocessing_from``: who states how images are prepared."""

    label: str
    file: str
    runtime: str
    precision: str
    runs_as: str
    version: str
    threads: int
    preprocessing: dict[str, Any]
    preprocessing_from: str


@dataclass(frozen=True, slots=True)
class Row:
    """One engine. ``seconds``: from files to features, of the slowest process, for the
    ``images_run`` that the cache did not hold; the first run of an engine is not in it."""

    engine: EngineFacts
    result: RetrievalResult
    images_run: int
    images_cached: int
    seconds: float

    @property
    def images_per_s(self) -> float | None:
        """Files to features; None when all features came from the cache."""
        return self.images_run / self.seconds if self.images_run and self.seconds else None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An engine this machine cannot run, or a part of a measurement, and why."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class EvalResult:
    """Everything an evaluation found; files are named relative to the dataset's folder."""

    edgereid: str
    created: str
    options: dict[str, Any]
    dataset: ReidDataset
    processes: int
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    skipped: tuple[str, ...]  # unreadable files, with the reason

    def to_json(self) -> dict[str, Any]:
        """All of it, per-query values included."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "edgereid": self.edgereid,
            "created": self.created,
            "options": self.options,
            "processes": self.processes,
            "dataset": self._dataset_json(),
            "queries": [
                {"file": relative(r, self.dataset), "pid": r.pid, "camid": r.camid}
                for r in self.dataset.query
            ],
            "rows": [row_json(row) for row in self.rows],
            "left_out": [{"label": x.label, "reason": x.reason} for x in self.left_out],
            "skipped": list(self.skipped),
        }

    def summary(self) -> dict[str, Any]:
        """Without per-query values: what ``--json`` prints."""
        value = self.to_json()
        del value["queries"]
        for row in value["rows"]:
            del row["per_query"]
        return value

    def _dataset_json(self) -> dict[str, Any]:
        first = self.rows[0].result
        return {
            "name": self.dataset.name,
            "queries": len(self.dataset.query),
            "valid_queries": first.valid_queries,
            "dropped_queries": first.dropped_queries,
            "gallery": len(self.dataset.gallery),
            "multi_query": len(self.dataset.multi_query),
        }


def relative(record: ImageRecord, dataset: ReidDataset) -> str:
    """A file's name in its dataset; only the last part where it lies elsewhere."""
    try:
        return record.path.relative_to(dataset.root).as_posix()
    except ValueError:
        return Path(record.path.name).as_posix()


def row_json(row: Row) -> dict[str, Any]:
    """One row as JSON values; ``per_query`` is in the order of ``query``, positions in the list of
    all queries."""
    facts, found = row.engine, row.result
    return {
        **{name: getattr(facts, name) for name in EngineFacts.__dataclass_fields__},
        "cmc": {str(k): v for k, v in found.cmc.items()},
        "map": found.mean_ap,
        "minp": found.mean_inp,
        "protocol": found.protocol,
        "images_run": row.images_run,
        "images_cached": row.images_cached,
        "seconds": row.seconds,
        "images_per_s": row.images_per_s,
        "per_query": {
            "query": found.query_index.tolist(),
            "average_precision": found.average_precision.tolist(),
            "first_match": found.first_match.tolist(),
        },
    }
