"""The latency ratio of engines with a known law, under a clock that only they move."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgereid.bench.gate.measures import LATENCY, MAP, RANK1, levels_of
from edgereid.bench.gate.options import Budget, GateOptions
from edgereid.bench.gate.result import Measure
from edgereid.bench.gate.sides import Sides
from edgereid.bench.gate.speed import latency_measure
from edgereid.bench.latency import LatencyOptions
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.engines.base import Engine, EngineInfo, TensorSpec
from edgereid.errors import UsageError
from edgereid.evaluation.result import EngineFacts
from edgereid.evaluation.subject import Subject
from edgereid.evaluation.targets import Target
from edgereid.evaluation.work import Opened
from edgereid.images import Preprocessing

SIZE = (16, 8)


@dataclass
class Clock:
    now: int = 1

    def __call__(self) -> int:
        return self.now


class Timed(Engine):
    """Takes ``ms`` on average, with a spread of a tenth."""

    def __init__(self, clock: Clock, ms: float, batch: int | None = None) -> None:
        super().__init__()
        self.inputs = (TensorSpec("images", (batch, 3, *SIZE)),)
        self.outputs = (TensorSpec("features", (batch, 2)),)
        self.info = EngineInfo("onnxruntime", "f32", 1, "1")
        self.clock, self.ms = clock, ms
        self.rng = np.random.default_rng(int(1000 * ms))

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.clock.now += int(self.ms * self.rng.uniform(0.9, 1.1) * 1e6)
        return np.zeros((len(batch), 2), np.float32)


def opened(engine: Engine) -> Opened:
    path = Path("x.onnx")
    target = Target(path, "x", None, None, None, True, None, "")
    facts = EngineFacts("x", "x", "onnxruntime", "f32", "f32", "1", 1, {}, "")
    return Opened(target, Subject(engine, Preprocessing(*SIZE)), facts, {}, 1)


@pytest.fixture
def dataset(tmp_path: Path) -> ReidDataset:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 16), (200, 30, 90)).save(path)
    return ReidDataset("one", tmp_path, (), (), (ImageRecord(path, 1, 1),))


def judged(
    dataset: ReidDataset, reference_ms: float, candidate_ms: float, budget: float, rounds: int = 12
) -> Measure:
    clock = Clock()
    sides = Sides(opened(Timed(clock, candidate_ms)), opened(Timed(clock, reference_ms)))
    options = GateOptions(
        Path("x"), None, Path("y"), latency=LatencyOptions(0.0, 1, 0.0, 1, rounds, 1e4, 0.02)
    )
    levels = levels_of(Budget(max_latency_ratio=budget), 2)[LATENCY]
    return latency_measure(sides, dataset, options, budget, levels, clock)


@pytest.mark.parametrize(
    ("reference_ms", "candidate_ms", "verdict"),
    [(4.0, 2.0, "pass"), (4.0, 3.6, "fail"), (4.0, 3.2, "undecided"), (4.0, 9.0, "fail")],
)
def test_the_ratio_of_known_laws_is_judged(
    reference_ms: float, candidate_ms: float, verdict: str, dataset: ReidDataset
) -> None:
    found = judged(dataset, reference_ms, candidate_ms, 0.8)
    assert found.verdict == verdict
    assert found.drop == pytest.approx(candidate_ms / reference_ms, rel=0.05)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.drop <= found.high
    assert found.reference == pytest.approx(reference_ms, rel=0.05)


def test_too_few_rounds_decide_nothing(dataset: ReidDataset) -> None:
    found = judged(dataset, 4.0, 1.0, 0.8, rounds=3)
    assert (found.verdict, found.low, found.high) == ("undecided", None, None)


def test_an_engine_of_another_batch_size_cannot_be_timed(dataset: ReidDataset) -> None:
    clock = Clock()
    sides = Sides(opened(Timed(clock, 1, batch=4)), opened(Timed(clock, 1)))
    options = GateOptions(Path("x"), None, Path("y"))
    levels = levels_of(Budget(max_latency_ratio=1), 1)[LATENCY]
    with pytest.raises(UsageError, match="batches of 4"):
        latency_measure(sides, dataset, options, 1.0, levels, clock)


def test_the_error_rate_of_failing_is_shared_and_used_up() -> None:
    levels = levels_of(Budget(max_latency_ratio=0.8), 2)
    whole = 2 * levels[MAP].failing + 2 * levels[RANK1].failing + levels[LATENCY].failing
    assert whole == pytest.approx(0.05)
    assert {x.passing for x in levels.values()} == {0.05}
    assert levels_of(Budget(max_rank1_drop=None), 1)[MAP].failing == 0.05
