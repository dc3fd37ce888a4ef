"""Retrieval accuracy of an engine: its own embeddings, with its own manifest's preprocessing.

Every image is decoded once for all engines that share a preprocessing; only features are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.result import Accuracy, Dataset
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.engines.base import Engine
from edgereid.errors import InputError
from edgereid.images import Preprocessing, iter_batches
from edgereid.progress import progress
from edgereid.retrieval import RetrievalResult, evaluate
from edgereid.retrieval.protocol import judge


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine and what its manifest says about it."""

    engine: Engine
    preprocessing: Preprocessing
    distance: str = "cosine"


def embed(engine: Engine, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (N, D) of a batch (N, 3, H, W); an engine of fixed batch size is fed in pieces, the
    last one filled up with repeats whose features are dropped."""
    fixed = engine.inputs[0].shape[0]
    if fixed is None or fixed == len(batch):
        return engine.run(batch)
    padded = np.concatenate([batch, np.repeat(batch[-1:], -len(batch) % fixed, axis=0)])
    pieces = [engine.run(padded[i : i + fixed]) for i in range(0, len(padded), fixed)]
    return np.concatenate(pieces)[: len(batch)]


def _features(
    subjects: Sequence[Subject], records: Sequence[ImageRecord], batch_size: int, label: str
) -> list[NDArray[np.float32]]:
    """Features (images, D) of every subject."""
    found: list[list[NDArray[np.float32]]] = [[] for _ in subjects]
    for batches in progress(
        _shared_batches(subjects, records, batch_size),
        label=label,
        total=ceil(len(records) / batch_size) * len({s.preprocessing for s in subjects}),
    ):
        for index, batch in batches:
            found[index].append(embed(subjects[index].engine, batch))
    return [np.concatenate(parts) for parts in found]


def _shared_batches(
    subjects: Sequence[Subject], records: Sequence[ImageRecord], batch_size: int
) -> Iterator[list[tuple[int, NDArray[np.float32]]]]:
    """Decoded batches with the subjects that take them."""
    paths = [record.path for record in records]
    for preprocessing in dict.fromkeys(s.preprocessing for s in subjects):
        takers = [i for i, s in enumerate(subjects) if s.preprocessing == preprocessing]
        for batch in iter_batches(paths, preprocessing, batch_size):
            yield [(i, batch) for i in takers]


def _labels(records: Sequence[ImageRecord]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return (
        np.array([r.pid for r in records], dtype=np.int64),
        np.array([r.camid for r in records], dtype=np.int64),
    )


def describe(dataset: ReidDataset) -> Dataset:
    """The dataset as the result file names it; raises InputError when no query can be judged."""
    valid = judge(*_labels(dataset.query), *_labels(dataset.gallery)).query_index
    pids = tuple(dataset.query[i].pid for i in valid)
    if not pids:
        raise InputError(
            f"{dataset.root}: no query has a match in another camera: accuracy cannot be measured."
        )
    return Dataset(
        name=dataset.name,
        queries=len(dataset.query),
        gallery=len(dataset.gallery),
        valid_queries=len(pids),
        dropped_queries=len(dataset.query) - len(pids),
        identities=len(set(pids)),
        valid_query_pids=pids,
    )


def _accuracy(result: RetrievalResult) -> Accuracy:
    return Accuracy(
        rank1=result.rank(1),
        rank5=result.rank(5),
        rank10=result.rank(10),
        mean_ap=result.mean_ap,
        mean_inp=result.mean_inp,
        protocol=result.protocol,
        average_precision=tuple(float(v) for v in result.average_precision),
        first_match=tuple(int(v) for v in result.first_match),
    )


def measure_accuracies(
    subjects: Sequence[Subject], dataset: ReidDataset, batch_size: int = 16
) -> list[Accuracy]:
    """Accuracy of every subject on the queries and gallery of ``dataset``, in order.

    Raises InputError when an image cannot be decoded or an engine's embeddings are not finite.
    """
    query = _features(subjects, dataset.query, batch_size, "accuracy, queries")
    gallery = _features(subjects, dataset.gallery, batch_size, "accuracy, gallery")
    query_labels, gallery_labels = _labels(dataset.query), _labels(dataset.gallery)
    return [
        _accuracy(evaluate(q, *query_labels, g, *gallery_labels, metric=s.distance))
        for s, q, g in zip(subjects, query, gallery, strict=True)
    ]


def measure_accuracy(
    engine: Engine,
    dataset: ReidDataset,
    preprocessing: Preprocessing,
    batch_size: int = 16,
    distance: str = "cosine",
) -> Accuracy:
    """Accuracy of one engine; see ``measure_accuracies``."""
    return measure_accuracies([Subject(engine, preprocessing, distance)], dataset, batch_size)[0]
