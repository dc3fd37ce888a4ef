"""A small network as a bundle with an INT8 engine, drawn people, and results made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bench.gate.result import Check, DatasetFacts, GateResult, Measure
from edgereid.bundle import describe_file, write_manifest
from edgereid.cli.main import main
from edgereid.evaluation.result import EngineFacts
from edgereid.files import read_json, sha256
from edgereid.images import Preprocessing, load_batch
from edgereid.manifest import MANIFEST, Manifest

SIZE = (64, 32)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 persons to test on, seen by two cameras."""
    root = tmp_path_factory.mktemp("gate") / "data"
    flags = ["--ids", "16", "--test-ids", "12", "--cameras", "2", "--workers", "1"]
    assert main(["synth", str(root), *flags]) == 0
    return root


def _network() -> Any:
    """Random convolutions, batch free, 64 x 32, 24 numbers an image."""
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)

    def tensor(name: str, *shape: int) -> Any:
        values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return onnx.numpy_helper.from_array(values.astype(np.float32), name)

    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["images", "k1"], ["a"], "c1", strides=[2, 2], pads=[1, 1, 1, 1]),
            node("Relu", ["a"], ["b"], "r1"),
            node("Conv", ["b", "k2"], ["c"], "c2", pads=[1, 1, 1, 1]),
            node("Relu", ["c"], ["d"], "r2"),
            node("AveragePool", ["d"], ["p"], "pool", kernel_shape=[8, 16], strides=[8, 16]),
            node("Flatten", ["p"], ["e"], "flat"),
            node("Gemm", ["e", "fc"], ["features"], "fc", transB=1),
        ],
        "net",
        [value("images", 1, ["N", 3, *SIZE])],
        [value("features", 1, ["N", 24])],
        [tensor("k1", 16, 3, 3, 3), tensor("k2", 32, 16, 3, 3), tensor("fc", 24, 128)],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def seal(directory: Path, **changes: Any) -> Path:
    """Have the manifest vouch for what lies in ``directory`` now; ``changes`` of its fields."""
    value = read_json(directory / MANIFEST)
    files = tuple(
        replace(f, sha256=sha256(directory / f.name), bytes=(directory / f.name).stat().st_size)
        for f in Manifest.from_json(value).files
    )
    write_manifest(directory, replace(Manifest.from_json(value), files=files, **changes))
    return directory


def quantize(directory: Path, images: Any, table: Any = None) -> None:
    """Calibrate ``model.onnx`` on ``images`` (or take ``table``) and build ``engine.onnx``."""
    from edgereid.calibration.thresholds import Decision
    from edgereid.engines.base import EngineOptions
    from edgereid.engines.open import open_engine
    from edgereid.export.int8 import CALIBRATION_FILE, build_engine, calibrate
    from edgereid.export.policy import ONNXRUNTIME

    vouched = directory / MANIFEST
    aside = vouched.rename(directory.parent / "aside.json") if vouched.exists() else None
    model = directory / "model.onnx"
    if table is None:
        facts = {"model": sha256(model)}
        table = calibrate(model, [images], (ONNXRUNTIME,), Decision("mse"), facts, 1)
    table.save(directory / CALIBRATION_FILE)
    with open_engine(model, EngineOptions(threads=1)) as engine:
        reference = engine.run(images)
    build_engine(ONNXRUNTIME.target, directory, table, images, reference, 1)
    if aside is not None:
        aside.rename(vouched)


@pytest.fixture(scope="session")
def training_crops(drawn: Path) -> Any:
    paths = sorted((drawn / "bounding_box_train").glob("*.jpg"))[:32]
    return load_batch(paths, Preprocessing(*SIZE))


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, training_crops: Any) -> Path:
    """A bundle with nothing wrong: float network, its table, its INT8 engine."""
    directory = tmp_path_factory.mktemp("bundles") / "sound"
    directory.mkdir()
    (directory / "model.onnx").write_bytes(_network().SerializeToString())
    quantize(directory, training_crops)
    files = (
        describe_file(directory / "model.onnx", "float", "onnxruntime", "f32"),
        describe_file(directory / "engine.onnx", "engine", "onnxruntime", "int8"),
        describe_file(directory / "calibration.json", "calibration"),
    )
    write_manifest(directory, Manifest("small", 24, Preprocessing(*SIZE), files))
    return directory


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Path:
    """DSLNet with its shipped weights as a bundle with an INT8 engine: half a minute."""
    pytest.importorskip("torch")
    out = tmp_path_factory.mktemp("bundles") / "dslnet"
    flags = ["--int8", "--calib", str(drawn), "--calib-images", "32", "--out", str(out)]
    assert main(["export", "dslnet", *flags, "--target", "onnxruntime"]) == 0
    return out


@pytest.fixture(scope="session")
def tools() -> dict[str, Callable[..., Any]]:
    """What damages a bundle."""
    return {"seal": seal, "quantize": quantize}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One cache for all tests here, apart from the user's."""
    folder = tmp_path_factory.getbasetemp() / "gate-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


def facts(label: str, file: str) -> EngineFacts:
    return EngineFacts(label, file, "onnxruntime", "int8", "int8", "1", 1, {}, "manifest")


def _measure(name: str, verdict: str, needed: int | None = None, unit: str = "points") -> Measure:
    low, high = {"pass": (-0.1, 0.3), "fail": (0.7, 1.4), "undecided": (-0.2, 1.0)}[verdict]
    values = (0.8, 0.79) if unit == "points" else (10.0, 9.0)
    return Measure(
        name, unit, *values, 0.2, low, high, 0.5, 0.05, 0.01, verdict, needed, "9 of 90 differ"
    )


@pytest.fixture
def make_measure() -> Callable[..., Measure]:
    return _measure


@pytest.fixture
def make_gate() -> Callable[..., GateResult]:
    def make(measures: list[Measure], checks: list[Check] | None = None) -> GateResult:
        return GateResult(
            edgereid="0.1.0",
            created="2026-01-02T03:04:05+00:00",
            options={},
            candidate=facts("OpenVINO INT8", "b/engine.xml"),
            reference=facts("ONNX Runtime FP32", "b/model.onnx"),
            dataset=DatasetFacts("market1501", 400, 2, 100, 2000),
            protocol="protocol",
            measures=tuple(measures),
            checks=tuple(checks or []),
            images_run={"reference": 0, "candidate": 2400},
            seconds=12.3456,
        )

    return make
