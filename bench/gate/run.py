"""One run of the gate: both engines opened, their features compared in every way that is judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid import __version__
from edgereid.bench.gate import measures
from edgereid.bench.gate.agreement import IMAGES, agreement, preprocessing_check
from edgereid.bench.gate.batches import batch_check, images_wanted
from edgereid.bench.gate.calibrated import calibration_check
from edgereid.bench.gate.certificate import (
    MAX_GALLERY,
    MAX_QUERIES,
    certificate_check,
    certify,
)
from edgereid.bench.gate.crops import crops_of
from edgereid.bench.gate.options import GateOptions
from edgereid.bench.gate.result import Check, DatasetFacts, GateResult, Measure
from edgereid.bench.gate.sides import Sides, features, open_sides
from edgereid.data.types import ReidDataset
from edgereid.evaluation.extract import Extraction
from edgereid.evaluation.options import Protocol
from edgereid.evaluation.score import images_needed, labels, score
from edgereid.evaluation.work import Opened, Opener, open_with_runtime
from edgereid.images import load_batch
from edgereid.retrieval import RetrievalResult

Floats = NDArray[np.float32]
_PROTOCOL = Protocol()


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Features (Q + G, D) of both engines, and the queries among them."""

    reference: Floats
    candidate: Floats
    queries: int
    images_run: dict[str, int]


def run_gate(
    options: GateOptions,
    opener: Opener = open_with_runtime,
    dataset: ReidDataset | None = None,
) -> GateResult:
    """Judge the candidate against the reference; ``dataset`` overrides ``options.data``.

    Raises UsageError, InputError (no query that can be judged, too few people, an image that
    cannot be decoded, features that are not finite), IntegrityError and MissingRuntimeError.
    """
    start = time.monotonic()
    if dataset is None:
        from edgereid.data.layouts import open_dataset

        dataset = open_dataset(options.data, options.layout)
    crops = None if options.unlabelled is None else crops_of(options.unlabelled)
    with ExitStack() as stack:
        sides = open_sides(options, stack, opener)
        found = _features(sides, images_needed(dataset, _PROTOCOL), len(dataset.query), options)
        result = _score(sides.reference, found.reference, dataset)
        judged = _measures(sides, found, result, dataset, options)
        checks = _checks(sides, found, dataset, options, crops)
    return GateResult(
        edgereid=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        options=options.to_json(),
        candidate=sides.candidate.facts,
        reference=sides.reference.facts,
        dataset=_facts(dataset, result),
        protocol=result.protocol,
        measures=tuple(judged),
        checks=tuple(checks),
        images_run=found.images_run,
        seconds=time.monotonic() - start,
    )


def _features(sides: Sides, paths: Sequence[Path], queries: int, options: GateOptions) -> _Found:
    reference = features(sides.reference, paths, options)
    candidate = features(sides.candidate, paths, options)
    run = {"reference": reference.images_run, "candidate": candidate.images_run}
    return _Found(reference.features, candidate.features, queries, run)


def _score(engine: Opened, found: Floats, dataset: ReidDataset) -> RetrievalResult:
    subject = engine.subject
    return score(found, dataset, _PROTOCOL, subject.distance, subject.flips(None))


def _measures(
    sides: Sides,
    found: _Found,
    reference: RetrievalResult,
    dataset: ReidDataset,
    options: GateOptions,
) -> list[Measure]:
    """The candidate alone, as the queries of the reference's gallery, and its speed."""
    budget = options.budget
    fits = found.reference.shape[1] == found.candidate.shape[1]
    mixed = options.mixed and fits
    levels = measures.levels_of(budget, 2 if mixed else 1)
    pids = labels(dataset.query)[0][reference.query_index]
    own = _score(sides.candidate, found.candidate, dataset)
    judged = measures.accuracy_measures(reference, own, pids, budget, levels)
    if mixed:
        exchanged = np.concatenate(
            [found.candidate[: found.queries], found.reference[found.queries :]]
        )
        together = _score(sides.reference, exchanged, dataset)
        judged += measures.accuracy_measures(
            reference, together, pids, budget, levels, measures.MIXED
        )
    if budget.max_latency_ratio is not None:
        from edgereid.bench.gate.speed import latency_measure

        level = levels[measures.LATENCY]
        judged.append(latency_measure(sides, dataset, options, budget.max_latency_ratio, level))
    return judged


def _checks(
    sides: Sides,
    found: _Found,
    dataset: ReidDataset,
    options: GateOptions,
    crops: Sequence[Path] | None,
) -> list[Check]:
    paths = images_needed(dataset, _PROTOCOL)
    subject = sides.candidate.subject
    some = load_batch(paths[: images_wanted(options.max_batch)], subject.preprocessing)
    runs_as = sides.candidate.facts.precision
    checks = [batch_check(subject, some, options.max_batch, runs_as)]
    calibrated = calibration_check(sides.candidate.target.path)
    if calibrated is not None:
        checks.append(calibrated)
    if not options.mixed:
        return checks
    checks.append(agreement(found.reference, found.candidate))
    if found.reference.shape[1] != found.candidate.shape[1]:
        return checks
    picked = _spread(len(paths), IMAGES)
    checks.append(
        preprocessing_check(
            subject,
            sides.reference.subject.preprocessing,
            [paths[i] for i in picked],
            found.reference[picked],
            Extraction(options.batch),
        )
    )
    checks.append(_certificate(sides, found, options, crops))
    return checks


def _spread(count: int, wanted: int) -> NDArray[np.intp]:
    """``wanted`` positions among ``count``, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.intp))


def _certificate(
    sides: Sides, found: _Found, options: GateOptions, crops: Sequence[Path] | None
) -> Check:
    distance = sides.reference.subject.distance
    if crops is not None:
        old = features(sides.reference, crops, options).features
        new = features(sides.candidate, crops, options).features
        return certificate_check(certify((old, None), (new, None), distance), "unlabelled crops")
    some = _spread(found.queries, MAX_QUERIES)
    gallery = slice(found.queries, found.queries + MAX_GALLERY)
    old_pair = (found.reference[some], found.reference[gallery])
    new_pair = (found.candidate[some], found.candidate[gallery])
    return certificate_check(certify(old_pair, new_pair, distance), "queries")


def _facts(dataset: ReidDataset, result: RetrievalResult) -> DatasetFacts:
    pids = labels(dataset.query)[0][result.query_index]
    return DatasetFacts(
        name=dataset.name,
        queries=result.valid_queries,
        dropped_queries=result.dropped_queries,
        identities=len(np.unique(pids)),
        gallery=len(dataset.gallery),
    )
