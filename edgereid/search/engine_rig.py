"""The rig of a real search: builds engines in a temporary folder, times them, embeds images."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.gate.bootstrap_t import bounds
from edgereid.bench.gate.pairs import pair
from edgereid.bench.latency import LatencyOptions, Runner, Samples, measure
from edgereid.bench.stats import round_ratios, speed_ratio
from edgereid.calibration.table import CalibrationTable
from edgereid.engines.base import Engine, EngineOptions
from edgereid.engines.open import RUNTIMES, open_engine
from edgereid.errors import UsageError
from edgereid.evaluation.extract import Extraction, extract_paths
from edgereid.evaluation.options import Protocol
from edgereid.evaluation.score import images_needed, score
from edgereid.evaluation.subject import Subject, embed
from edgereid.export.graph import Graph
from edgereid.export.int8 import load_graph, write_quantized
from edgereid.export.options import RUNTIME_OF
from edgereid.export.origin import MODEL_FILE
from edgereid.export.policy import POLICIES
from edgereid.export.repair.mended import quantize_stored
from edgereid.images import Preprocessing, load_batch
from edgereid.retrieval import RetrievalResult
from edgereid.search.agreement import agreement_of
from edgereid.search.choice import Choice, all_float
from edgereid.search.evidence import Evidence
from edgereid.search.measured import Agreement, Cost, Drop
from edgereid.search.rig import Effort
from edgereid.search.units import Unit, nodes_of, units_of

Floats = NDArray[np.float32]

#: Engines kept open: those of one race.
MAX_OPEN = 9
BUFFERS = 4
#: A race that does not reach its rounds in so many times its time is ended: the machine is busy.
PATIENCE = 20
#: The range of so many rounds holds the median with 95 % (1 - 2**(1 - 6) = 97 %).
LEAST_ROUNDS = 6
UNKNOWN = 1e3


@dataclass(frozen=True, slots=True)
class Setup:
    """What a rig builds engines of. ``directory`` holds ``model.onnx``."""

    target: str
    directory: Path
    table: CalibrationTable
    preprocessing: Preprocessing
    threads: int
    batch: int = 1
    seed: int = 0

    @property
    def runtime(self) -> str:
        return RUNTIME_OF[self.target]


@dataclass(slots=True)
class EngineRig:
    """See ``rig.Rig``. Use as a context manager."""

    setup: Setup
    evidence: Evidence
    parts: tuple[Unit, ...] = ()
    _graph: Graph | None = None
    _arithmetics: tuple[str, ...] = ()
    _open: OrderedDict[Choice, Engine] = field(default_factory=OrderedDict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _folder: Path = Path()
    _probe: Floats | None = None
    _reference: Floats | None = None
    _result: RetrievalResult | None = None

    def __enter__(self) -> EngineRig:
        self._graph = load_graph(self.setup.directory / MODEL_FILE)
        self.parts = units_of(self._graph, POLICIES[self.setup.target])
        if not self.parts:
            raise UsageError(
                f"no layer of this network runs in INT8 on {self.setup.target}: nothing to search."
            )
        folder = tempfile.TemporaryDirectory(prefix="edgereid-search-")
        self._folder = Path(self._stack.enter_context(folder))
        self._arithmetics = self._available()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._open:
            self._open.popitem()[1].close()
        self._stack.close()

    @property
    def units(self) -> int:
        return len(self.parts)

    @property
    def arithmetics(self) -> tuple[str, ...]:
        return self._arithmetics

    def race(self, choices: Sequence[Choice], effort: Effort) -> list[Cost]:
        engines = [self._engine(choice, len(choices)) for choice in choices]
        images = self._images()
        size = self.setup.batch
        buffers = [
            np.ascontiguousarray(images[[(i * size + k) % len(images) for k in range(size)]])
            for i in range(BUFFERS)
        ]
        runners = [Runner(c.label, e.run, buffers) for c, e in zip(choices, engines, strict=True)]
        options = LatencyOptions(
            warmup_s=0.1,
            warmup_runs=3,
            min_time_s=effort.seconds,
            min_count=effort.rounds,
            min_rounds=effort.rounds,
            max_time_s=PATIENCE * effort.seconds * len(runners),
            block_s=effort.seconds / effort.rounds,
            seed=self.setup.seed,
        )
        samples = measure(runners, options, label="taking turns")
        return [_cost(samples[0], one) for one in samples]

    def agreement(self, choice: Choice) -> Agreement:
        return agreement_of(self._reference_features(), self._embed(choice))

    def drop(self, choice: Choice, level: float) -> Drop | None:
        if self.evidence.dataset is None:
            return None
        if self._result is None:
            self._result = self._score(all_float("f32", self.units))
        before, after = self._result, self._score(choice)
        pids = np.array([r.pid for r in self.evidence.dataset.query])[before.query_index]
        pairs = pair(before.average_precision, after.average_precision, pids)
        high = bounds(pairs, level, level)[1]
        high = min(high, 1.0)  # not known at all: everything may be lost
        return Drop(100 * pairs.drop, 100 * high, level, pairs.queries, pairs.people)

    def _available(self) -> tuple[str, ...]:
        """Arithmetic that the runtime offers and this processor really runs float layers in."""
        found = []
        for name in RUNTIMES[self.setup.runtime].precisions:
            choice = all_float(name, self.units)
            try:
                if self._engine(choice, 1).info.precision == name:
                    found.append(name)
            except UsageError:
                continue
        return tuple(found)

    def _engine(self, choice: Choice, room: int) -> Engine:
        """The choice's engine, opened; the one not used for longest is closed for it."""
        if choice not in self._open:
            while len(self._open) >= max(MAX_OPEN, room):
                self._open.popitem(last=False)[1].close()
            self._open[choice] = self._build(choice)
        self._open.move_to_end(choice)
        return self._open[choice]

    def _build(self, choice: Choice) -> Engine:
        setup = self.setup
        options = EngineOptions(threads=setup.threads, precision=choice.arithmetic)
        if choice.is_float:
            return open_engine(setup.directory / MODEL_FILE, options, runtime=setup.runtime)
        assert self._graph is not None
        keep = nodes_of(self.parts, choice.kept)
        model, _ = quantize_stored(
            setup.directory,
            setup.target,
            self._graph.model,
            setup.table,
            POLICIES[setup.target],
            keep,
        )
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            path, _ = write_quantized(setup.target, Path(folder), model)
            return open_engine(path, options, runtime=setup.runtime)

    def _images(self) -> Floats:
        if self._probe is None:
            self._probe = load_batch(self.evidence.probe, self.setup.preprocessing)
        return self._probe

    def _embed(self, choice: Choice) -> Floats:
        """One image at a time: engines compile for every batch size anew."""
        engine = self._engine(choice, 1)
        return np.concatenate([embed(engine, image[None]) for image in self._images()])

    def _reference_features(self) -> Floats:
        if self._reference is None:
            self._reference = self._embed(all_float("f32", self.units))
        return self._reference

    def _score(self, choice: Choice) -> RetrievalResult:
        assert self.evidence.dataset is not None
        protocol = Protocol()
        subject = Subject(self._engine(choice, 1), self.setup.preprocessing)
        paths = images_needed(self.evidence.dataset, protocol)
        extraction = Extraction(batch=1, flip=False)
        features = extract_paths(subject, paths, extraction, f"mAP of {choice.label}")
        return score(features, self.evidence.dataset, protocol, "cosine")


def _cost(first: Samples, other: Samples) -> Cost:
    """Time relative to the first, which took turns with it; with few rounds the interval is the
    range of all of them, with fewer than ``LEAST_ROUNDS`` so wide that it shows nothing."""
    ratio = speed_ratio(first.rounds_ns, other.rounds_ns)
    low, high = ratio.low, ratio.high
    if low is None or high is None:
        ratios = round_ratios(first.rounds_ns, other.rounds_ns)
        doubt = 1.0 if ratio.rounds >= LEAST_ROUNDS or first is other else UNKNOWN
        low, high = float(ratios.min()) / doubt, float(ratios.max()) * doubt
    return Cost(1 / ratio.value, 1 / high, 1 / low, float(np.median(other.all_ns)) / 1e6)
