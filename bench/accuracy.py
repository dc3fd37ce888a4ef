"""Retrieval accuracy of engines for the bench's rows: each by its own embeddings, with its own
manifest's preprocessing."""

from __future__ import annotations

from collections.abc import Sequence

from edgereid.bench.result import Accuracy, Dataset
from edgereid.data.types import ReidDataset
from edgereid.engines.base import Engine
from edgereid.errors import InputError
from edgereid.evaluation.extract import Extraction
from edgereid.evaluation.options import Protocol
from edgereid.evaluation.score import evaluate_subject, labels
from edgereid.evaluation.subject import Subject
from edgereid.images import Preprocessing
from edgereid.retrieval import RetrievalResult
from edgereid.retrieval.protocol import judge


def describe(dataset: ReidDataset) -> Dataset:
    """The dataset as the result file names it; raises InputError when no query can be judged."""
    valid = judge(*labels(dataset.query), *labels(dataset.gallery)).query_index
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
    """Accuracy of every subject on the queries and gallery of ``dataset``, in order, by the
    single-query protocol, the subject's own distance and, where its manifest says so, with mirror
    images.

    Raises InputError when an image cannot be decoded or an engine's embeddings are not finite.
    """
    protocol, extraction = Protocol(), Extraction(batch_size)
    return [
        _accuracy(
            evaluate_subject(
                subject, dataset, protocol, extraction, f"accuracy, engine {i} of {len(subjects)}"
            )
        )
        for i, subject in enumerate(subjects, start=1)
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
