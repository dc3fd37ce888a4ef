"""From features to metrics, by the protocol a user chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import InputError
from edgereid.evaluation.extract import Extraction, extract_paths
from edgereid.evaluation.options import Protocol
from edgereid.evaluation.subject import Subject
from edgereid.retrieval import RetrievalResult, evaluate
from edgereid.retrieval.multiquery import pool_queries

FLIPPED = ", features averaged with those of the mirror image"
_PROTOCOL, _EXTRACTION = Protocol(), Extraction()
Labels = tuple[NDArray[np.int64], NDArray[np.int64]]


def labels(records: Sequence[ImageRecord]) -> Labels:
    """Person and camera ids, (N,) each."""
    return (
        np.array([r.pid for r in records], dtype=np.int64),
        np.array([r.camid for r in records], dtype=np.int64),
    )


def images_needed(dataset: ReidDataset, protocol: Protocol) -> list[Path]:
    """The files whose features ``score`` takes, in its order: queries (or what is pooled in their
    place), gallery. Raises InputError when the dataset lacks what the protocol needs."""
    if not dataset.query or not dataset.gallery:
        raise InputError(f"{dataset.root} has no query or no gallery images: nothing to evaluate.")
    if protocol.multi_query is not None and not dataset.multi_query:
        raise InputError(
            f"{dataset.root} has no images for multi-query (Market-1501 has them in gt_bbox): "
            "evaluate without it."
        )
    return [r.path for r in (*_asked(dataset, protocol), *dataset.gallery)]


def _asked(dataset: ReidDataset, protocol: Protocol) -> tuple[ImageRecord, ...]:
    """The images that queries are made of."""
    return dataset.query if protocol.multi_query is None else dataset.multi_query


def score(
    features: NDArray[np.float32],
    dataset: ReidDataset,
    protocol: Protocol,
    distance: str,
    flip: bool = False,
) -> RetrievalResult:
    """Metrics of ``features`` (N, D) of ``images_needed``; ``distance`` is the engine's own.

    Raises InputError when no query has a match in another camera.
    """
    asked = _asked(dataset, protocol)
    query, gallery = np.split(features, [len(asked)])
    pooling = protocol.multi_query
    if pooling is not None:
        query = pool_queries(*labels(dataset.query), query, *labels(asked), pooling)
    found = evaluate(
        query,
        *labels(dataset.query),
        gallery,
        *labels(dataset.gallery),
        metric=distance if protocol.metric == "auto" else protocol.metric,
        ap=protocol.ap,
        reranking=protocol.reranking,
    )
    words = found.protocol + (FLIPPED if flip else "")
    if pooling is not None:
        words = words.replace("single query", f"multi-query ({pooling})", 1)
    return replace(found, protocol=words)


def evaluate_subject(
    subject: Subject,
    dataset: ReidDataset,
    protocol: Protocol = _PROTOCOL,
    extraction: Extraction = _EXTRACTION,
    label: str = "accuracy",
) -> RetrievalResult:
    """Metrics of one engine: every image decoded, run and scored.

    Raises InputError when an image cannot be decoded or an engine's embeddings are not finite.
    """
    paths = images_needed(dataset, protocol)
    features = extract_paths(subject, paths, extraction, label)
    return score(features, dataset, protocol, subject.distance, subject.flips(extraction.flip))
