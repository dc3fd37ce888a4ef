"""The calibration method that moves the embedding least, for each target.

No method is the best of every network: where a network magnifies a few images forty times as much
as the others, what costs least squared error keeps those and loses the rest. So each candidate's
model is run on a few of the calibration images, in float between its roundings. Weights are left as
they are: to round them to nearest moves the embedding more than all activations do, which hides
the difference between candidates; and learned rounding then takes most of that away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.auto import CANDIDATES, require_different
from edgereid.calibration.histogram import Histogram
from edgereid.calibration.scheme import Scheme
from edgereid.calibration.table import CalibrationTable, Entry, decide
from edgereid.calibration.thresholds import BEST
from edgereid.export.graph import Graph
from edgereid.export.policy import PlacementPolicy
from edgereid.export.qdq import quantize
from edgereid.export.repair.judge import Judge, features_of
from edgereid.progress import note, progress


def decide_by_embedding(
    graph: Graph,
    policies: Collection[PlacementPolicy],
    histograms: Iterable[Histogram],
    schemes: Mapping[str, tuple[Scheme, ...]],
    images: NDArray[np.float32],
    provenance: Mapping[str, Any],
    threads: int,
) -> CalibrationTable:
    """A table with, for each of the ``policies``, the ranges of the candidate with the least error
    (one minus the mean centred cosine to the float network) on ``images`` (N, 3, H, W); of equals
    the first. What the first policy gets stands for all; others that differ have their own.

    ``provenance`` gets every candidate's error by target under "methods". Entries name the method
    that was chosen, after "best: ". Raises InputError where the images cannot tell candidates
    apart: there is one, or all give one embedding.
    """
    seen = list(histograms)
    require_different(reference := features_of(graph.model, images, threads))
    judge = Judge(images, reference, threads)
    tables = {name: decide(seen, schemes, choice, {}) for name, choice in CANDIDATES.items()}
    errors: dict[str, dict[str, float]] = {policy.target: {} for policy in policies}
    for name, table in progress(tables.items(), label="choosing", total=len(tables)):
        for policy in policies:
            rounded = quantize(graph.model, table, policy, weights=False)[0]
            errors[policy.target][name] = round(judge.error(rounded), 6)
    chosen = {target: min(found, key=found.__getitem__) for target, found in errors.items()}
    for target, found in errors.items():
        shown = ", ".join(f"{name} {1000 * error:.2f}" for name, error in found.items())
        note(f"{target}: thresholds by {chosen[target]}; thousandths of error by {shown}")
    entries = {target: _entries(tables[name], name) for target, name in chosen.items()}
    first = next(iter(chosen))
    targets = {target: entries[target] for target in chosen if chosen[target] != chosen[first]}
    return CalibrationTable(entries[first], {**provenance, "methods": errors}, targets)


def _entries(table: CalibrationTable, method: str) -> dict[str, Entry]:
    return {n: replace(e, method=f"{BEST}: {method}") for n, e in table.entries.items()}
