"""Write what a bench run measured into the manifest of the bundle it was measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgereid.bench.result import BenchResult, Row
from edgereid.bundle import Bundle, replace_accuracy
from edgereid.errors import UsageError


def bundle_to_record(paths: Sequence[Path], data: Path | None) -> Bundle:
    """The one bundle that ``paths`` name. Raises UsageError when it is none, when there are
    several, or when there are no images to measure accuracy with."""
    if data is None:
        raise UsageError("--record needs accuracy to record: give --data DIR.")
    if len(paths) != 1 or not paths[0].is_dir() or not Bundle.is_bundle(paths[0]):
        raise UsageError("--record needs one bundle's directory, and nothing else, as PATH.")
    return Bundle.open(paths[0])


def record(bundle: Bundle, result: BenchResult) -> Bundle:
    """Replace the manifest's ``accuracy`` by the accuracy of every row of ``result``.

    Raises IntegrityError when a file of the bundle changed meanwhile, StorageError.
    """
    return replace_accuracy(bundle, accuracy_of(result))


def accuracy_of(result: BenchResult) -> dict[str, Any]:
    """The manifest's ``accuracy``: the dataset's counts, the protocol, and a value for each row."""
    measured = [row for row in result.rows if row.accuracy is not None]
    if result.dataset is None or not measured:
        raise UsageError("the result holds no accuracy to record.")
    dataset = asdict(result.dataset)
    del dataset["valid_query_pids"]
    return {
        "created": result.created,
        "dataset": dataset,
        "protocol": measured[0].accuracy.protocol if measured[0].accuracy else "",
        "engines": {row.key.partition("/")[2]: _values(row) for row in measured},
    }


def _values(row: Row) -> dict[str, Any]:
    """Fractions 0..1; the change in mAP against the float reference with its 95 % interval."""
    accuracy, drop = row.accuracy, row.drop
    assert accuracy is not None
    found: dict[str, Any] = {
        "runtime": row.runtime,
        "precision": row.precision,
        "rank1": accuracy.rank1,
        "rank5": accuracy.rank5,
        "rank10": accuracy.rank10,
        "map": accuracy.mean_ap,
        "minp": accuracy.mean_inp,
    }
    return found if drop is None else found | {"map_drop": asdict(drop)}
