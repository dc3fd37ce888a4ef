"""From options to a page: features of one or two engines, ranked lists, the file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.data.layouts import open_dataset
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import MissingRuntimeError, UsageError
from edgereid.evaluation.extract import Extraction, extract_paths
from edgereid.evaluation.options import EvalOptions
from edgereid.evaluation.score import labels
from edgereid.evaluation.targets import Target, targets_of
from edgereid.evaluation.work import open_with_runtime, opened
from edgereid.files import write_bytes
from edgereid.progress import note, progress
from edgereid.retrieval.ranking import RankedLists, ranked_lists
from edgereid.show.lists import QueryView, choose, views
from edgereid.show.options import ShowOptions
from edgereid.show.page import EngineSummary, Page, render
from edgereid.show.thumbnails import overlay, thumbnail

#: From a bundle: the float reference and the quantized engine, the best known first.
_REFERENCES = (("onnxruntime", "f32"), ("openvino", "f32"), ("eager", "f32"))
_CANDIDATES = (("openvino", "int8"), ("onnxruntime", "int8"))


@dataclass(frozen=True, slots=True)
class Shown:
    """What was written."""

    path: Path
    bytes: int
    queries: int
    engines: tuple[EngineSummary, ...]


def choose_targets(options: ShowOptions) -> list[Target]:
    """One or two engines: the files given, or a bundle's float network and its INT8 engine.

    Raises what opening a path raises, UsageError when a bundle and another path are given.
    """
    if len(options.paths) == 2 and any(path.is_dir() for path in options.paths):
        raise UsageError("two paths: both need to be engine files, a bundle stands alone.")
    if len(options.paths) == 1 and options.paths[0].is_dir():
        every = targets_of(options.paths[0], (), None)
        kinds = {(t.runtime, t.stated_precision): t for t in reversed(every)}
        found = [
            next((kinds[kind] for kind in wanted if kind in kinds), None)
            for wanted in (_REFERENCES, _CANDIDATES)
        ]
        return [t for t in found if t is not None]
    return [targets_of(path, (), None)[0] for path in options.paths]


def show(options: ShowOptions) -> Shown:
    """Write the page; returns what it holds. Raises InputError, UsageError, MissingRuntimeError,
    IntegrityError and StorageError."""
    targets = choose_targets(options)
    dataset = open_dataset(options.data, options.layout)
    summaries: list[EngineSummary] = []
    found: list[RankedLists] = []
    for target in targets:
        summary, lists = _rank(target, dataset, options)
        summaries.append(summary)
        found.append(lists)
    chosen = choose(views(dataset, found), options.sort, options.queries)
    heat = _maps(options, chosen) if options.maps else [None] * len(chosen)
    pictures = _pictures(chosen)
    overlays = [
        None if h is None else overlay(v.record.path, h) for v, h in zip(chosen, heat, strict=True)
    ]
    page = Page(
        dataset=dataset.name,
        queries=len(found[0].query_index),
        gallery=len(dataset.gallery),
        sort=options.sort,
        engines=tuple(summaries),
        views=tuple(chosen),
        overlays=tuple(overlays),
    )
    content = render(page, pictures).encode("utf-8")
    write_bytes(options.out, content)
    return Shown(options.out, len(content), len(chosen), tuple(summaries))


def _rank(
    target: Target, dataset: ReidDataset, options: ShowOptions
) -> tuple[EngineSummary, RankedLists]:
    asked = EvalOptions(
        options.paths[0], options.data, threads=options.threads, trust=options.trust
    )
    with ExitStack() as stack:
        engine = stack.enter_context(opened(target, asked, open_with_runtime))
        records = (*dataset.query, *dataset.gallery)
        paths = [r.path for r in records]
        features = extract_paths(engine.subject, paths, Extraction(), engine.facts.label)
    query, gallery = np.split(features, [len(dataset.query)])
    metric = target.distance if options.metric == "auto" else options.metric
    lists = ranked_lists(
        query,
        *labels(dataset.query),
        gallery,
        *labels(dataset.gallery),
        k=options.top,
        metric=metric,
    )
    summary = EngineSummary(
        label=engine.facts.label,
        file=engine.facts.file,
        metric=metric,
        rank1=float(np.mean(lists.first_match == 1)),
        mean_ap=float(np.mean(lists.average_precision)),
    )
    note(f"{summary.label}: Rank-1 {summary.rank1:.1%}, mAP {summary.mean_ap:.1%}")
    return summary, lists


def _pictures(chosen: Sequence[QueryView]) -> dict[Path, str]:
    """A thumbnail of every image on the page, each decoded once."""
    records: dict[Path, ImageRecord] = {}
    for view in chosen:
        records[view.record.path] = view.record
        records.update({e.record.path: e.record for a in view.answers for e in a.entries})
    ordered = sorted(records)
    return {
        path: thumbnail(path) for path in progress(ordered, label="pictures", total=len(ordered))
    }


def _maps(options: ShowOptions, chosen: Sequence[QueryView]) -> list[NDArray[np.float32] | None]:
    """Activation maps of the float network that the first engine was made from."""
    home = options.paths[0]
    weights = next(iter(targets_of(home, ("eager",), None)), None) if home.is_dir() else None
    if weights is None:
        raise UsageError("--maps needs the network's weights: give a bundle's directory.")
    try:
        from edgereid.show.activation import activation_maps, network_of
    except ModuleNotFoundError as error:
        raise MissingRuntimeError('--maps needs torch: pip install "edgereid[train]".') from error
    network, preprocessing = network_of(weights.path, weights.preprocessing)
    return list(activation_maps(network, [v.record.path for v in chosen], preprocessing))
