"""Export with a search: the usual export calibrates, then the search chooses the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.bundle import Bundle
from edgereid.calibration.table import CalibrationTable
from edgereid.errors import UsageError
from edgereid.export.int8 import EngineBuilder, Int8Engine, build_engine, check_engine
from edgereid.export.options import ExportOptions
from edgereid.export.pipeline import export_bundle
from edgereid.images import Preprocessing
from edgereid.progress import note
from edgereid.search.binding import binding
from edgereid.search.build import Job, build_point, write_record
from edgereid.search.engine_rig import EngineRig, Setup
from edgereid.search.evidence import Source, gather
from edgereid.search.journal import Journal
from edgereid.search.options import TARGETS, SearchOptions, measurable, require_target
from edgereid.search.outcome import Record
from edgereid.search.search import run_search

Floats = NDArray[np.float32]


def export_searched(options: ExportOptions, search: SearchOptions) -> Bundle:
    """Export a network with precisions searched for every target that runs here.

    A state file beside the bundle holds what was measured until the bundle is written. Raises
    UsageError without --int8 or with a target that cannot be measured here, and what
    ``export_bundle`` raises.
    """
    if not options.int8:
        raise UsageError("--max-drop searches precisions for INT8 engines: give --int8.")
    if options.target != "auto":
        require_target(options.target)
    bundle = export_bundle(options, builder(options, search))
    for target in TARGETS:
        state_file(options.out, target).unlink(missing_ok=True)
    return bundle


def state_file(out: Path, target: str) -> Path:
    """Where a search keeps what it measured: beside the bundle."""
    return out.with_name(f"{out.name}.search-{target}.json")


def builder(options: ExportOptions, search: SearchOptions) -> EngineBuilder:
    """What the export has its engines built by."""
    source = Source(
        options.calibration,
        options.layout,
        options.images,
        options.seed,
        options.allow_test_images,
    )

    def build(
        target: str,
        directory: Path,
        table: CalibrationTable,
        crops: Floats,
        reference: Floats,
        threads: int,
    ) -> Int8Engine:
        if target not in measurable():
            note(f"{target}: its latency cannot be measured here, so the policy alone decides")
            return build_engine(target, directory, table, crops, reference, threads)
        job = Job(directory, table, threads)
        record = _search(target, job, source, search, state_file(options.out, target))
        note(f"{target}: {record.outcome.why}")
        engine = build_point(record, job, record.outcome.taken)
        checks = check_engine(directory / engine.name, crops, reference, threads)
        files = (*engine.files, write_record(directory, record))
        return replace(engine, files=files, report={**engine.report, **checks})

    return build


def _search(target: str, job: Job, source: Source, search: SearchOptions, state: Path) -> Record:
    setup = Setup(
        target,
        job.directory,
        job.table,
        Preprocessing.from_json(job.table.provenance["preprocessing"]),
        job.threads,
        search.batch,
        search.seed,
    )
    with gather(source) as evidence, EngineRig(setup, evidence) as rig:
        note(f"accuracy: {evidence.words}")
        journal = Journal.open(state, binding(setup, evidence))
        try:
            outcome = run_search(rig, search, journal, evidence.words)
        except KeyboardInterrupt:
            note(f"stopped; the same command goes on from {state}")
            raise
    return Record(target, rig.parts, evidence.people, outcome)
