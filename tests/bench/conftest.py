"""Engines with known latency laws under a clock that only they move, and results made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgereid.bench.assemble import latency
from edgereid.bench.bootstrap import Drop
from edgereid.bench.latency import LatencyOptions, Samples
from edgereid.bench.machine import Machine, Reading, State
from edgereid.bench.options import BenchOptions
from edgereid.bench.result import Accuracy, BenchResult, Dataset, Row
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.engines.base import Engine, EngineInfo, TensorSpec
from edgereid.evaluation.result import LeftOut


@dataclass
class FakeClock:
    """Nanoseconds that pass only when somebody says so."""

    now: int = 1_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, ns: int) -> None:
        self.now += ns


@dataclass
class Law:
    """A callable that takes ``delay(call number)`` nanoseconds and remembers its inputs."""

    clock: FakeClock
    delay: Callable[[int], int]
    name: str = ""
    diary: list[str] | None = None
    seen: list[Any] = field(default_factory=list)

    def __call__(self, buffer: Any) -> None:
        if self.diary is not None:
            self.diary.append(self.name)
        self.clock.advance(self.delay(len(self.seen)))
        self.seen.append(buffer)


class FakeEngine(Engine):
    """Embeds a crop as its mean colour per stripe, plus noise of ``damage`` times their spread."""

    def __init__(
        self,
        runtime: str,
        precision: str,
        clock: FakeClock | None = None,
        ms_per_image: float = 1.0,
        damage: float = 0.0,
        batch: int | None = None,
        size: tuple[int, int] = (64, 32),
    ) -> None:
        super().__init__()
        self.inputs = (TensorSpec("images", (batch, 3, *size)),)
        self.outputs = (TensorSpec("features", (batch, 24)),)
        self.info = EngineInfo(runtime, precision, 2, "1.0")
        self.clock, self.ms_per_image, self.damage = clock, ms_per_image, damage
        self.rng = np.random.default_rng(0)

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.clock is not None:
            self.clock.advance(int(len(batch) * self.ms_per_image * 1e6))
        n = len(batch)
        stripes = batch.reshape(n, 3, 8, -1).mean(axis=3).reshape(n, 24)
        noise = self.rng.standard_normal(stripes.shape).astype(np.float32)
        return np.ascontiguousarray(stripes + self.damage * noise, dtype=np.float32)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def law() -> type[Law]:
    return Law


@pytest.fixture
def fake_engine() -> type[FakeEngine]:
    return FakeEngine


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> ReidDataset:
    """Eight persons of one colour each, two cameras, and one query that nobody can match."""
    rng = np.random.default_rng(5)

    def draw(name: str, pid: int, camid: int) -> ImageRecord:
        colour = np.random.default_rng(pid + 10).integers(0, 256, size=(8, 1, 3))
        pixels = np.repeat(np.repeat(colour, 8, axis=0), 32, axis=1)
        noisy = np.clip(pixels + rng.normal(0, 12, size=pixels.shape), 0, 255).astype(np.uint8)
        path = tmp_path / "crops" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noisy).save(path)
        return ImageRecord(path, pid, camid)

    query = [draw(f"q{pid}", pid, 1) for pid in range(1, 9)] + [draw("q9", 9, 1)]
    gallery = [draw(f"g{pid}_{k}", pid, 2) for pid in range(1, 9) for k in range(3)]
    gallery += [draw(f"g9_{k}", 9, 1) for k in range(2)]
    return ReidDataset("tiny", tmp_path, (), tuple(query), tuple(gallery))


def samples_of(ms: float, rounds: int = 12, runs: int = 10, jitter: float = 0.002) -> Samples:
    """Samples around ``ms`` with a known small spread, the same in every round."""
    block = tuple(int(ms * 1e6 * (1 + jitter * (k - (runs - 1) / 2))) for k in range(runs))
    return Samples((block,) * rounds, (block[0],), (block[0],) * 10, "goal")


@dataclass
class RowSpec:
    """A row in a few words; ``drop`` in points, ``ms`` by batch size."""

    label: str
    runtime: str
    precision: str
    ms: dict[int, float]
    mean_ap: float | None = 0.78
    drop: float | None = 0.0
    file: str = "model.onnx"
    bytes: int = 8_000_000
    group: str = "dslnet-int8"
    spread: float = 0.2
    runs_as: str = ""


def _row(spec: RowSpec, reference: RowSpec | None, rounds: int) -> Row:
    timed = {b: samples_of(ms, rounds) for b, ms in spec.ms.items()}
    base = (
        {} if reference is None else {b: samples_of(ms, rounds) for b, ms in reference.ms.items()}
    )
    accuracy = None
    if spec.mean_ap is not None:
        accuracy = Accuracy(0.9, 0.96, 0.98, spec.mean_ap, 0.5, "protocol", (0.5, 1.0), (2, 1))
    drop = None
    if spec.drop is not None and accuracy is not None and reference is not None:
        drop = Drop(spec.drop, spec.drop - spec.spread, spec.drop + spec.spread, 400, 100)
    return Row(
        key=spec.label,
        label=spec.label,
        group=spec.group,
        file=f"{spec.group}/{spec.file}" if spec.group else spec.file,
        runtime=spec.runtime,
        precision=spec.precision,
        runs_as=spec.runs_as or spec.precision,
        version="1.0",
        threads=2,
        bytes=spec.bytes,
        under_test=spec.precision == "int8",
        reference=None if reference is None else reference.label,
        preprocessing="manifest",
        load_ms=100.0,
        first_run_ms=20.0,
        resident_growth_bytes=None,
        details={},
        latency={b: latency(b, s, base.get(b)) for b, s in timed.items()},
        end_to_end={b: latency(b, s, base.get(b)) for b, s in timed.items()},
        accuracy=accuracy,
        drop=drop,
    )


def _result(
    specs: Sequence[RowSpec], reference: int | None = 0, budget: float = 0.5, rounds: int = 12
) -> BenchResult:
    chosen = None if reference is None else specs[reference]
    rows = tuple(_row(spec, chosen, rounds) for spec in specs)
    measured = any(row.accuracy is not None for row in rows)
    absent = Reading(None, "not there")
    options = BenchOptions((Path("dslnet-int8"),), max_map_drop=budget, latency=LatencyOptions())
    state = State(Reading([2600.0, 2600.0]), absent, Reading([0.1, 0.1, 0.1]), Reading(8 * 2**30))
    return BenchResult(
        edgereid="0.1.0",
        created="2026-01-02T03:04:05+00:00",
        options=options.to_json(),
        machine=Machine(
            "host", "Linux 6", "x86_64", Reading("A Processor"), Reading(["avx2"]), 2, 2,
            absent, absent, Reading(16 * 2**30), absent, "3.11", {"numpy": "2.0", "torch": None},
        ),
        before=state,
        after=state,
        peak_resident_bytes=None,
        dataset=Dataset("market1501", 402, 2000, 400, 2, 100, (1, 2)) if measured else None,
        inputs="real crops from the gallery",
        rows=rows,
        preparation={1: latency(1, samples_of(1.5), None)},
        left_out=(LeftOut("TensorRT INT8 (engine.plan)", "TensorRT is not installed."),),
        warnings=(),
    )  # fmt: skip


@pytest.fixture
def row_spec() -> type[RowSpec]:
    return RowSpec


@pytest.fixture
def make_result() -> Callable[..., BenchResult]:
    return _result


@pytest.fixture
def usual(make_result: Callable[..., BenchResult]) -> BenchResult:
    """The usual outcome on a processor with VNNI: OpenVINO's INT8 wins, ONNX Runtime's is slow."""
    return make_result(
        [
            RowSpec("ONNX Runtime FP32", "onnxruntime", "f32", {1: 15.0, 16: 240.0}, 0.781),
            RowSpec("PyTorch eager FP32", "eager", "f32", {1: 40.0, 16: 480.0}, 0.781,
                    file="weights.safetensors"),
            RowSpec("OpenVINO FP32", "openvino", "f32", {1: 16.0, 16: 200.0}, 0.781),
            RowSpec("OpenVINO bf16", "openvino", "bf16", {1: 9.5, 16: 90.0}, 0.7805, 0.05),
            RowSpec("ONNX Runtime INT8", "onnxruntime", "int8", {1: 25.0, 16: 280.0}, 0.779, 0.2,
                    file="engine.onnx", bytes=2_100_000),
            RowSpec("OpenVINO INT8", "openvino", "int8", {1: 8.3, 16: 82.0}, 0.779, 0.2,
                    file="engine.xml", bytes=2_080_000),
        ]
    )  # fmt: skip
