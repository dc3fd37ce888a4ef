"""Thresholds chosen by what they do to the embedding, tensor by tensor.

One tensor of the float network at a time is rounded on the grid of each candidate range, and the
network behind it tells how far the embedding moves: the mean over a few images of one minus the
centred cosine. To first order the errors of single tensors add up, so the least of each is the
least of all; measured one by one they do not drown in each other, either.

It takes one run of the network for a tensor and image, and a run of what lies behind the tensor for
every candidate: much longer than calibration itself. In memory are the tensors that cross one place
of the graph, for the images in use.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.histogram import Histogram
from edgereid.calibration.scheme import Range, Scheme
from edgereid.calibration.session import add_outputs, open_session
from edgereid.calibration.suffix import Suffix
from edgereid.calibration.table import CalibrationTable, Entry
from edgereid.calibration.thresholds import AUTO, Decision, threshold
from edgereid.errors import InputError
from edgereid.progress import progress
from edgereid.retrieval.centred import unit_rows

#: Images on which candidates are compared.
IMAGES = 16
#: In the order in which they win a draw. Not "average": it clips what few images hold, and a few
#: images do not show what that costs.
CANDIDATES: dict[str, Decision] = {
    "mse": Decision("mse"),
    "minmax": Decision("minmax"),
    "percentile 99.99": Decision("percentile", 99.99),
    "percentile 99.999": Decision("percentile", 99.999),
    "entropy": Decision("entropy"),
}
_ALIKE = 0.01  # ranges that differ by less than this share are one candidate


def decide_by_output(
    path: Path,
    histograms: Iterable[Histogram],
    schemes: Mapping[str, Iterable[Scheme]],
    images: NDArray[np.float32],
    provenance: Mapping[str, Any],
    threads: int,
) -> CalibrationTable:
    """A table of the tensors in ``schemes`` (tensor -> schemes whose range is asked for).

    ``path`` is the float ONNX network that gave the histograms, ``images`` (N, 3, H, W) some of
    those it was calibrated on. What is no tensor of the network (a range that several share) gets
    the first candidate, by mse. Entries name the method that was chosen, after "auto: ". Raises
    InputError without images or when all of them give one embedding.
    """
    import onnx

    seen = {h.name: h for h in histograms}
    judge = _Judge.of(onnx.load(str(path)), schemes, images, threads)
    entries = {}
    for name, wanted in progress(schemes.items(), label="choosing", total=len(schemes)):
        h = seen[name]
        chosen = judge.choose(name, {s: candidates(h, s) for s in wanted})
        ranges = {s.name: r for s, (_, r) in chosen.items()}
        method = ", ".join(sorted({m for m, _ in chosen.values()}))
        entries[name] = Entry(h.low, h.high, h.count, f"{AUTO}: {method}", ranges)
    return CalibrationTable(entries, provenance)


def require_different(embeddings: NDArray[Any]) -> None:
    """Raises InputError unless there are two embeddings (N, D) that differ: methods are compared by
    how images differ."""
    advice = "name a method that needs no comparison (--method mse)."
    if len(embeddings) < 2:
        raise InputError(
            "one calibration image, or copies of one: methods are compared on at least two that "
            f"differ. Give more, or {advice}"
        )
    if not np.ptp(embeddings, axis=0).any():
        raise InputError(
            "all calibration images give one embedding: are the weights trained? If they are, "
            f"{advice}"
        )


def candidates(h: Histogram, scheme: Scheme) -> dict[str, Range]:
    """The ranges that the methods choose; of those that are alike the first."""
    found: dict[str, Range] = {}
    for name, decision in CANDIDATES.items():
        r = threshold(h, decision, scheme)
        width = max(r.high - r.low, 1e-30)
        if not any(
            abs(r.high - o.high) <= _ALIKE * width and abs(r.low - o.low) <= _ALIKE * width
            for o in found.values()
        ):
            found[name] = r
    return found


@dataclass(frozen=True, slots=True)
class _Judge:
    """The float network and what it says of the images, taken one (1, 3, H, W) at a time."""

    suffixes: Mapping[str, Suffix]
    whole: Any  # a session that gives every tensor that a suffix reads
    source: str
    images: tuple[NDArray[np.float32], ...]
    reference: NDArray[np.float64]  # embeddings (N, D) of length 1, the mean removed
    mean: NDArray[np.float64]
    threads: int

    @staticmethod
    def of(model: Any, tensors: Iterable[str], images: NDArray[np.float32], threads: int) -> _Judge:
        suffixes = {name: Suffix.of(model, name) for name in tensors}
        source, features = model.graph.input[0].name, model.graph.output[0].name
        open_model = copy.deepcopy(model)
        behind = [s for s in suffixes.values() if s.reaches_output]
        read = {n for s in behind for n in (s.tensor, *s.beside)}
        add_outputs(open_model, read, "the model")
        whole = open_session(open_model, threads)
        singles = tuple(np.split(images, len(images)))
        rows = [whole.run([features], {source: image})[0] for image in singles]
        require_different(features := np.concatenate(rows))
        reference = unit_rows(features)
        mean = reference.mean(axis=0)
        return _Judge(suffixes, whole, source, singles, reference - mean, mean, threads)

    def choose(
        self, tensor: str, candidates: Mapping[Scheme, Mapping[str, Range]]
    ) -> dict[Scheme, tuple[str, Range]]:
        """For each scheme the candidate with the least error at the output, and its name."""
        losses = {(s, m): 0.0 for s, found in candidates.items() for m in found if len(found) > 1}
        if losses and self.suffixes[tensor].reaches_output:
            for i, (session, values) in enumerate(self._runs(tensor)):
                for s, m in losses:
                    moved = s.fake_quantize(values[tensor], candidates[s][m])
                    (got,) = session.run(None, {**values, tensor: moved})
                    losses[s, m] += self._error(i, got[0])
        chosen = {}
        for s, found in candidates.items():
            best = min(found, key=lambda m: losses.get((s, m), 0.0))
            chosen[s] = (best, found[best])
        return chosen

    def _runs(self, tensor: str) -> Iterator[tuple[Any, dict[str, Any]]]:
        """For each image the session of what lies behind ``tensor``, and what it reads."""
        suffix = self.suffixes[tensor]
        names = [n for n in (tensor, *suffix.beside) if n != self.source]
        session = None
        for image in self.images:
            found = self.whole.run(names, {self.source: image}) if names else []
            values = dict(zip(names, found, strict=True))
            if self.source in (tensor, *suffix.beside):
                values[self.source] = image
            session = session or open_session(suffix.build(values), self.threads)
            yield session, values

    def _error(self, image: int, embedding: NDArray[np.float32]) -> float:
        """One minus the centred cosine."""
        a, b = unit_rows(embedding[None])[0] - self.mean, self.reference[image]
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        return 1.0 - float(a @ b) / size if size > 0.0 else 1.0
