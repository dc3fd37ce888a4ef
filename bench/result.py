"""What a bench run found: the content of the result file, with every raw sample.

Tables, verdicts and pages are views on it. Files are named as ``bundle/file``, never by full path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.bench.bootstrap import Drop
from edgereid.bench.codec import decode, encode
from edgereid.bench.energy.report import EnergyReport
from edgereid.bench.latency import Samples
from edgereid.bench.machine import Machine, State
from edgereid.bench.scenarios.result import Scenarios
from edgereid.bench.stats import Ratio, Summary
from edgereid.errors import InputError
from edgereid.evaluation.result import LeftOut
from edgereid.files import dump_json, read_json, write_text

KIND = "edgereid-bench"
SCHEMA = 1
FLOAT_PRECISIONS = ("f32", "f16", "bf16")


@dataclass(frozen=True, slots=True)
class Latency:
    """One engine at one batch size. ``ratio``: times as fast as the row's reference."""

    batch: int
    summary: Summary
    samples: Samples
    ratio: Ratio | None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Retrieval accuracy of one engine's own embeddings, as fractions 0..1.

    ``average_precision`` and ``first_match`` (rank of the first true match, from 1) have one value
    a valid query, in the order of ``Dataset.valid_query_pids``. ``protocol`` says how, in words.
    """

    rank1: float
    rank5: float
    rank10: float
    mean_ap: float
    mean_inp: float
    protocol: str
    average_precision: tuple[float, ...]
    first_match: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """What accuracy was measured on and how.

    ``valid_query_pids`` are the persons of the queries that have a match in another camera.
    """

    name: str
    queries: int
    gallery: int
    valid_queries: int
    dropped_queries: int
    identities: int
    valid_query_pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One engine. ``precision`` is what it is meant to run in, ``runs_as`` what the runtime tells.
    ``reference`` is the key of the float row it is compared with (its own key: it is
    a reference; None: there is none). ``bytes`` counts the weights file beside it, too."""

    key: str
    label: str
    group: str
    file: str
    runtime: str
    precision: str
    runs_as: str
    version: str
    threads: int
    bytes: int
    under_test: bool
    reference: str | None
    preprocessing: str
    load_ms: float
    first_run_ms: float
    resident_growth_bytes: int | None
    details: dict[str, Any]
    latency: dict[int, Latency]
    end_to_end: dict[int, Latency]
    accuracy: Accuracy | None
    drop: Drop | None

    @property
    def quantised(self) -> bool:
        return self.precision not in FLOAT_PRECISIONS

    @property
    def is_reference(self) -> bool:
        return self.reference == self.key


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Everything a run found. ``preparation`` times decoding, resizing and normalising alone.
    ``scenarios`` None: none was asked for, or the file is of an older version."""

    edgereid: str
    created: str
    options: dict[str, Any]
    machine: Machine
    before: State
    after: State
    peak_resident_bytes: int | None
    dataset: Dataset | None
    inputs: str
    rows: tuple[Row, ...]
    preparation: dict[int, Latency]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]
    scenarios: Scenarios | None = None
    energy: EnergyReport | None = None

    @property
    def batches(self) -> tuple[int, ...]:
        return tuple(sorted({batch for row in self.rows for batch in row.latency}))

    @property
    def max_map_drop(self) -> float:
        """The accuracy budget in points of mAP."""
        return float(self.options["max_map_drop"])

    def row(self, key: str) -> Row:
        return next(row for row in self.rows if row.key == key)

    def to_json(self) -> dict[str, Any]:
        return {"kind": KIND, "schema": SCHEMA, **encode(self)}


def write_result(path: Path, result: BenchResult) -> None:
    """Write the result file, whole or not at all; raises StorageError."""
    write_text(path, dump_json(result.to_json()))


def result_from_json(value: Any, source: str = "the result") -> BenchResult:
    """Raises InputError on what is no result of this schema."""
    if not isinstance(value, dict) or value.get("kind") != KIND or value.get("schema") != SCHEMA:
        raise InputError(
            f"{source} is no result of `edgereid bench` in schema {SCHEMA}: measure again."
        )
    return decode(BenchResult, value)


def read_result(path: Path) -> BenchResult:
    """Read a result file; raises InputError."""
    return result_from_json(read_json(path), str(path))


def without_samples(value: Any) -> Any:
    """The JSON of a result without raw samples and per-query values: what ``--json`` prints."""
    dropped = ("samples", "average_precision", "first_match", "valid_query_pids")
    if isinstance(value, dict):
        return {k: without_samples(v) for k, v in value.items() if k not in dropped}
    if isinstance(value, list):
        return [without_samples(item) for item in value]
    return value
