"""The calibration method that moves the embedding least, with everything rounded.

No method is the best of every network: where a network magnifies a few images forty times as much
as the others, what costs least squared error keeps those and loses the rest. So each candidate's
model is run on a few of the calibration images, in float between its roundings.
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
from edgereid.calibration.table import CalibrationTable, decide
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
    """The table of the candidate with the least error (one minus the mean centred cosine to the
    float network, mean of the ``policies``) on ``images`` (N, 3, H, W); of equals the first.

    ``provenance`` gets every candidate's error under "methods". Entries name the method that was
    chosen, after "best: ". Raises InputError where the images cannot tell candidates apart: there
    is one, or all give one embedding.
    """
    seen = list(histograms)
    require_different(reference := features_of(graph.model, images, threads))
    judge = Judge(images, reference, threads)
    tables = {name: decide(seen, schemes, choice, {}) for name, choice in CANDIDATES.items()}
    errors = {}
    for name, table in progress(tables.items(), label="choosing", total=len(tables)):
        found = [judge.error(quantize(graph.model, table, policy)[0]) for policy in policies]
        errors[name] = round(float(np.mean(found)), 6)
    chosen = min(errors, key=lambda name: errors[name])
    shown = ", ".join(f"{name} {error:.4f}" for name, error in errors.items())
    note(f"thresholds by {chosen}: error of the embedding by {shown}")
    entries = {
        name: replace(entry, method=f"{BEST}: {chosen}")
        for name, entry in tables[chosen].entries.items()
    }
    return CalibrationTable(entries, {**provenance, "methods": errors})
