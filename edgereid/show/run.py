"""From options to a page: features of one or two engines, ranked lists, the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.bundle import Bundle
from edgereid.data.layouts import open_dataset
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import MissingRuntimeError, UsageError
from edgereid.evaluation.cache import FeatureCache
from edgereid.evaluation.options import EvalOptions
from edgereid.evaluation.score import images_needed, labels
from edgereid.evaluation.targets import Target, targets_of
from edgereid.evaluation.work import do_part, open_with_runtime, opened
from edgereid.files import write_bytes
from edgereid.progress import note, progress
from edgereid.retrieval.ranking import RankedLists, ranked_lists
from edgereid.show.lists import QueryView, choose, views
from edgereid.show.options import ShowOptions
from edgereid.show.page import EngineSummary, Page, render
from edgereid.show.thumbnails import overlay, thumbnail

#: From a bundle: the float reference and the engine made from it, the best known first.
_REFERENCES = (("onnxruntime", "f32"), ("openvino", "f32"), ("eager", "f32"), ("tensorrt", "f32"))
_CANDIDATES = (
    ("openvino", "int8"),
    ("onnxruntime", "int8"),
    ("tensorrt", "int8"),
    ("tensorrt", "f16"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What was written."""

    path: Path
    bytes: int
    queries: int
    engines: tuple[EngineSummary, ...]


def choose_targets(options: ShowOptions) -> list[list[Target]]:
    """One or two engines: the files given, or a bundle's float network and its quantized engine;
    of each, what may stand for it, the first that runs here is taken.

    Raises what opening a path raises, UsageError when a bundle and another path are given or a
    bundle holds neither.
    """
    if len(options.paths) == 2 and any(path.is_dir() for path in options.paths):
        raise UsageError("two paths: both need to be engine files, a bundle stands alone.")
    first = options.paths[0]
    if len(options.paths) == 1 and first.is_dir() and Bundle.is_bundle(first):
        every = targets_of(first, (), None)
        sides = [
            [t for kind in kinds for t in every if (t.runtime, t.stated_precision) == kind]
            for kinds in (_REFERENCES, _CANDIDATES)
        ]
        if not any(sides):
            there = ", ".join(t.describe() for t in every)
            raise UsageError(f"{first} has only {there or 'no engine'}: name an engine file.")
        return [side for side in sides if side]
    return [targets_of(path, (), None)[:1] for path in options.paths]


def show(options: ShowOptions) -> Shown:
    """Write the page; returns what it holds. Raises InputError, UsageError, MissingRuntimeError,
    IntegrityError and StorageError."""
    sides = choose_targets(options)
    weights = _weights(options) if options.maps else None
    dataset = open_dataset(options.data, options.layout)
    summaries: list[EngineSummary] = []
    found: list[RankedLists] = []
    for targets in sides:
        summary, lists = _rank_first(targets, dataset, options)
        summaries.append(summary)
        found.append(lists)
    chosen = choose(views(dataset, found), options.sort, options.queries)
    heat = [None] * len(chosen) if weights is None else _maps(weights, chosen)
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
    content = render(page, pictures).encode("utf-8", "backslashreplace")  # names may be no UTF-8
    write_bytes(options.out, content)
    return Shown(options.out, len(content), len(chosen), tuple(summaries))


def _rank_first(
    targets: Sequence[Target], dataset: ReidDataset, options: ShowOptions
) -> tuple[EngineSummary, RankedLists]:
    """What the first of ``targets`` whose runtime is installed finds."""
    for target in targets[:-1]:
        try:
            return _rank(target, dataset, options)
        except MissingRuntimeError as error:
            note(f"{target.describe()} is left out: {error}")
    return _rank(targets[-1], dataset, options)


def _rank(
    target: Target, dataset: ReidDataset, options: ShowOptions
) -> tuple[EngineSummary, RankedLists]:
    asked = EvalOptions(
        options.paths[0],
        options.data,
        threads=options.threads,
        trust=options.trust,
        cache=options.cache,
    )
    paths = images_needed(dataset, asked.protocol)
    with opened(target, asked, open_with_runtime) as engine:
        part = do_part(engine, paths, asked)
    features = part.extracted.features
    if options.cache is not None and part.extracted.images_run:
        keys = [bytes(key) for key in part.keys]
        FeatureCache(options.cache).store(engine.identity, keys, features)
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


def _weights(options: ShowOptions) -> Target:
    """The float network that the engines were made from. Raises UsageError and MissingRuntimeError,
    before images are run."""
    home = options.paths[0]
    if not home.is_dir():
        raise UsageError("--maps needs the network's weights: give a bundle's directory.")
    try:
        import edgereid.show.activation  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingRuntimeError('--maps needs torch: pip install "edgereid[train]".') from error
    return targets_of(home, ("eager",), None)[0]


def _maps(weights: Target, chosen: Sequence[QueryView]) -> list[NDArray[np.float32] | None]:
    """Activation maps of the queries."""
    from edgereid.show.activation import activation_maps, network_of

    network, preprocessing = network_of(weights.path, weights.preprocessing)
    return list(activation_maps(network, [v.record.path for v in chosen], preprocessing))
