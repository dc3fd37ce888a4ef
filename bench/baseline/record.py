"""One engine's part of one result: what is kept of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np

from edgereid.bench.baseline.commit import Commit
from edgereid.bench.codec import decode, encode
from edgereid.bench.machine import Machine
from edgereid.bench.result import BenchResult, Row
from edgereid.errors import InputError
from edgereid.files import dump_json

KIND = "edgereid-baseline"
SCHEMA = 1


def _digest(value: Any) -> str:
    return hashlib.sha256(dump_json(value).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as the result names it; its history is found by ``digest``."""

    label: str
    group: str
    file: str
    runtime: str
    precision: str
    runs_as: str
    version: str
    threads: int
    bytes: int

    @property
    def digest(self) -> str:
        """Of what stays the same from commit to commit."""
        return _digest([self.file, self.runtime, self.precision, self.threads])

    @property
    def as_measured(self) -> tuple[object, ...]:
        """What decides its speed, as far as the result tells."""
        return (self.digest, self.runs_as, self.version, self.bytes)

    @property
    def folder(self) -> str:
        """A folder's name: readable, and unique by the digest."""
        words = "-".join((self.file, self.runtime, self.precision))
        return f"{re.sub(r'[^0-9A-Za-z._-]+', '-', words).strip('.-')[:80]}-{self.digest}"


@dataclass(frozen=True, slots=True)
class Rounds:
    """Median time of each round, in nanoseconds, of the engine and of the reference beside it."""

    engine_ns: tuple[int, ...]
    reference_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Per-query accuracy (fractions, ranks from 1) and what it was measured on."""

    dataset: str
    queries: int
    gallery: int
    protocol: str
    pids: tuple[int, ...]
    average_precision: tuple[float, ...]
    first_match: tuple[int, ...]

    def same_queries(self, other: Retrieval) -> bool:
        mine = (self.dataset, self.queries, self.gallery, self.protocol, self.pids)
        return mine == (other.dataset, other.queries, other.gallery, other.protocol, other.pids)


@dataclass(frozen=True, slots=True)
class Record:
    """``machine``: fingerprint; ``restart``: a wanted change, earlier records count no longer;
    ``reference``: the engine that ``latency`` (by batch size) is relative to, None: it is one, or
    there was none."""

    commit: str
    dirty: bool | None
    restart: bool
    created: str
    edgereid: str
    machine: str
    cpu: str
    engine: Engine
    reference: Engine | None
    latency: dict[int, Rounds]
    retrieval: Retrieval | None

    def to_json(self) -> dict[str, Any]:
        return {"kind": KIND, "schema": SCHEMA, **encode(self)}

    @property
    def time(self) -> datetime:
        """When it was measured; raises InputError."""
        return _time(self.created)

    @property
    def file(self) -> str:
        """The file's name: time, commit, content."""
        when = self.time.strftime("%Y%m%dT%H%M%SZ")
        return f"{when}-{self.commit[:12]}-{_digest(self.to_json())[:8]}.json"


def record_from_json(value: Any, source: str) -> Record:
    """Raises InputError on what is no record of this schema."""
    if not isinstance(value, dict) or value.get("kind") != KIND or value.get("schema") != SCHEMA:
        raise InputError(f"{source} is no baseline in schema {SCHEMA}: remove it, save again.")
    found = decode(Record, value)
    _time(found.created)
    return found


def _time(text: str) -> datetime:
    """In UTC; a time without a zone is taken to be in it."""
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
        return found.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise InputError(f"{text!r} is no time in ISO 8601.") from None


def fingerprint(machine: Machine) -> str:
    """Machines that share it are one machine for a history. The host's name, the kernel and the
    packages are not part of it: a CI service changes the first, a commit may change the others."""
    return _digest(
        [
            machine.architecture,
            machine.cpu.value,
            machine.features.value,
            machine.logical_cpus,
            machine.usable_cpus,
            machine.cpu_quota.value,
            machine.accelerator.value,
        ]
    )


def records_of(result: BenchResult, commit: Commit, restart: bool = False) -> tuple[Record, ...]:
    """A record for every row."""
    rows = {row.key: row for row in result.rows}
    return tuple(_record(row, _beside(row, rows), result, commit, restart) for row in result.rows)


def _record(
    row: Row, reference: Row | None, result: BenchResult, commit: Commit, restart: bool
) -> Record:
    return Record(
        commit=commit.name,
        dirty=commit.dirty,
        restart=restart,
        created=result.created,
        edgereid=result.edgereid,
        machine=fingerprint(result.machine),
        cpu=str(result.machine.cpu.value or result.machine.architecture),
        engine=_engine(row),
        reference=None if reference is None else _engine(reference),
        latency=_latency(row, reference),
        retrieval=_retrieval(row, result),
    )


def _beside(row: Row, rows: dict[str, Row]) -> Row | None:
    return None if row.is_reference else rows.get(row.reference or "")


def _engine(row: Row) -> Engine:
    return Engine(
        label=row.label,
        group=row.group,
        file=row.file,
        runtime=row.runtime,
        precision=row.precision,
        runs_as=row.runs_as,
        version=row.version,
        threads=row.threads,
        bytes=row.bytes,
    )


def _medians(rounds: Sequence[Sequence[int]]) -> tuple[int, ...]:
    if not all(rounds):
        raise InputError("a round without a sample: the result is damaged, measure again.")
    return tuple(round(float(np.median(block))) for block in rounds)


def _latency(row: Row, reference: Row | None) -> dict[int, Rounds]:
    if reference is None:
        return {}
    return {
        batch: Rounds(
            _medians(found.samples.rounds_ns), _medians(reference.latency[batch].samples.rounds_ns)
        )
        for batch, found in row.latency.items()
        if batch in reference.latency
    }


def _retrieval(row: Row, result: BenchResult) -> Retrieval | None:
    accuracy, dataset = row.accuracy, result.dataset
    if accuracy is None or dataset is None:
        return None
    counts = {len(dataset.valid_query_pids), len(accuracy.average_precision)}
    if counts != {len(accuracy.first_match)}:
        raise InputError(f"{row.label}: the result's queries do not fit together: measure again.")
    return Retrieval(
        dataset=dataset.name,
        queries=dataset.queries,
        gallery=dataset.gallery,
        protocol=accuracy.protocol,
        pids=dataset.valid_query_pids,
        average_precision=accuracy.average_precision,
        first_match=accuracy.first_match,
    )
