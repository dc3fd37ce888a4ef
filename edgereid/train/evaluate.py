"""Features of image files by a network in float32, and the retrieval figures from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import InputError
from edgereid.evaluation.group import share
from edgereid.images import Preprocessing, iter_batches
from edgereid.models.registry import Network
from edgereid.progress import progress
from edgereid.retrieval import evaluate
from edgereid.train.processes import Processes

BATCH = 32


def _nothing() -> None:
    """The default between two batches."""


def extract_features(
    network: Network,
    paths: Sequence[Path],
    preprocessing: Preprocessing,
    between: Callable[[], None] = _nothing,
    label: str = "features",
) -> NDArray[np.float32]:
    """Features (N, D) float32 of ``paths`` in evaluation mode and without autocast.

    ``between`` is called before every batch (it may raise to stop); the network's mode is restored.
    """
    modes = [(m, m.training) for m in network.modules()]
    network.eval()
    device = next(network.parameters()).device
    batches = iter_batches(paths, preprocessing, BATCH, workers=1)
    out: list[NDArray[np.float32]] = []
    try:
        with torch.inference_mode():
            for batch in progress(batches, label=label, total=-(-len(paths) // BATCH)):
                between()
                x = torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)
                out.append(network(x.to(device)).cpu().numpy())
    finally:
        for module, mode in modes:
            module.training = mode
    if not out:
        return np.empty((0, network.feature_size), dtype=np.float32)
    return np.concatenate(out)


def evaluate_network(
    network: Network,
    dataset: ReidDataset,
    preprocessing: Preprocessing,
    between: Callable[[], None] = _nothing,
    group: Processes | None = None,
) -> dict[str, Any]:
    """Rank-1, -5, -10, -20, mAP and mINP (0..1) on the dataset's query and gallery: single query,
    cosine. Several processes of a ``group`` extract features of a share of the batches each and all
    get the figures. Raises InputError when the dataset has no query or no gallery."""
    if not dataset.query or not dataset.gallery:
        raise InputError(f"{dataset.root} has no query or no gallery images: nothing to evaluate.")

    def features(name: str, records: Sequence[ImageRecord]) -> NDArray[np.float32]:
        paths = [r.path for r in records]
        if group is None or group.size == 1:
            return extract_features(network, paths, preprocessing, between, name)
        mine = share(len(paths), BATCH, group.rank, group.size)
        own = extract_features(network, [paths[i] for i in mine], preprocessing, between, name)
        return np.concatenate(group.gather(own))

    result = evaluate(
        features("query", dataset.query),
        _column(dataset.query, "pid"),
        _column(dataset.query, "camid"),
        features("gallery", dataset.gallery),
        _column(dataset.gallery, "pid"),
        _column(dataset.gallery, "camid"),
        metric="cosine",
    )
    ranks = {f"rank{k}": float(v) for k, v in sorted(result.cmc.items())}
    return {
        **ranks,
        "map": float(result.mean_ap),
        "minp": float(result.mean_inp),
        "queries": int(result.valid_queries),
        "gallery": len(dataset.gallery),
    }


def _column(records: Sequence[ImageRecord], name: str) -> NDArray[np.int64]:
    return np.array([getattr(r, name) for r in records], dtype=np.int64)
