"""Records of runs with a known noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from edgereid.bench.baseline.record import Engine, Record, Retrieval, Rounds

MACHINE = "0123456789ab"
REFERENCE = Engine(
    "ONNX Runtime FP32", "net", "net/model.onnx", "onnxruntime", "f32", "f32", "1.20", 2, 8_000_000
)
INT8 = Engine(
    "OpenVINO INT8", "net", "net/engine.xml", "openvino", "int8", "int8", "2026.1", 2, 2_000_000
)


@dataclass
class Runs:
    """Draws runs: the machine's own speed drifts freely (it must cancel), the ratio of the engines
    varies by ``between`` from run to run and by ``within`` from round to round (as logs)."""

    rng: np.random.Generator
    between: float = 0.01
    within: float = 0.03
    rounds: int = 20
    number: int = 0

    def rounds_of(self, slower: float = 1.0) -> Rounds:
        machine = math.exp(self.rng.normal(0, 0.3))
        ratio = 0.5 * slower * math.exp(self.rng.normal(0, self.between))
        noise = np.exp(self.rng.normal(0, self.within, size=(2, self.rounds)))
        times = 1e7 * machine * np.array([[ratio], [1.0]]) * noise
        engine, reference = (tuple(int(v) for v in row) for row in times)
        return Rounds(engine, reference)

    def record(
        self,
        slower: float = 1.0,
        batches: Sequence[int] = (1,),
        retrieval: Retrieval | None = None,
        engine: Engine = INT8,
        commit: str = "",
    ) -> Record:
        """The next run, a minute after the one before."""
        self.number += 1
        hour, minute = divmod(self.number, 60)
        return Record(
            commit=commit or f"{self.number:040x}",
            dirty=False,
            restart=False,
            created=f"2026-01-02T{hour:02}:{minute:02}:00+00:00",
            edgereid="0.1.0",
            machine=MACHINE,
            cpu="A Processor",
            engine=engine,
            reference=REFERENCE,
            latency={batch: self.rounds_of(slower) for batch in batches},
            retrieval=retrieval,
        )


@pytest.fixture
def runs() -> Runs:
    return Runs(np.random.default_rng(7))


@pytest.fixture
def make_runs() -> type[Runs]:
    return Runs


@pytest.fixture
def other_reference() -> Engine:
    return replace(REFERENCE, version="1.21")


def _retrieval(
    drop: float = 0.0, noise: float = 0.0, seed: int = 1, persons: int = 60, shots: int = 4
) -> Retrieval:
    """The same queries each time, AP lower by ``drop``, with noise a person's queries share."""
    queries = np.random.default_rng(0)
    pids = np.repeat(np.arange(1, persons + 1), shots)
    base = queries.uniform(0.3, 0.8, size=len(pids))
    shared = np.repeat(np.random.default_rng(seed).normal(0, noise, size=persons), shots)
    ap = np.clip(base - drop + shared, 0, 1)
    return Retrieval(
        dataset="synth",
        queries=len(pids) + 2,
        gallery=1000,
        protocol="single query",
        pids=tuple(int(p) for p in pids),
        average_precision=tuple(float(v) for v in ap),
        first_match=tuple(1 if v > 0.4 else 2 for v in ap),
    )


@pytest.fixture
def make_retrieval() -> Callable[..., Retrieval]:
    return _retrieval
