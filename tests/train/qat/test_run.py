"""``edgereid qat`` whole: what it recovers, that it resumes, what it delivers, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgereid.calibration.scheme import SCHEMES, Range
from edgereid.calibration.table import CalibrationTable
from edgereid.calibration.thresholds import Decision
from edgereid.cli.main import main
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.errors import InputError, MissingRuntimeError, UsageError
from edgereid.export.int8 import calibrate, load_graph
from edgereid.export.policy import OPENVINO, PlacementPolicy
from edgereid.export.torch_onnx import export_onnx, load_network
from edgereid.files import sha256
from edgereid.images import load_batch
from edgereid.train.checkpoint import CHECKPOINT
from edgereid.train.interrupt import StopRequested
from edgereid.train.qat import backend as backends
from edgereid.train.qat.distil import Distillation
from edgereid.train.qat.loop import Distiller
from edgereid.train.qat.options import BACKENDS, QatOptions, Schedule
from edgereid.train.qat.run import run_qat
from edgereid.train.weights import write_weights
from tests.train.conftest import draw
from tests.train.qat.conftest import tiny_network

SHORT = Schedule(steps=6, batch=4, lr=1e-4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    network = tiny_network()
    write_weights(path, network, frozenset(network.state_dict()), "tiny", (32, 16))
    return path


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 training images: a quarter of them is enough to judge on."""
    root = tmp_path_factory.mktemp("crowd")
    draw(root / "bounding_box_train", range(1, 9), 20)
    draw(root / "query", range(11, 13), 1)
    draw(root / "bounding_box_test", range(11, 13), 2)
    return root


@pytest.fixture
def options(market: Path, weights: Path, tmp_path: Path) -> QatOptions:
    return QatOptions(
        "tiny", market, tmp_path / "qat", weights=weights, images=8, schedule=SHORT, threads=1
    )


def coarse_table(weights: Path, market: Path, policy: PlacementPolicy, folder: Path) -> Path:
    """Min-max ranges made three times as wide."""
    network, preprocessing = load_network("tiny", weights)
    export_onnx(network, (32, 16), folder / "model.onnx")
    crops = load_batch(sorted((market / "bounding_box_train").iterdir()), preprocessing)
    provenance = {"model": sha256(folder / "model.onnx")}
    table = calibrate(folder / "model.onnx", [crops], (policy,), Decision("minmax"), provenance, 1)
    wide = {
        name: replace(
            entry,
            ranges={s: Range(3 * r.low, 3 * r.high) for s, r in entry.ranges.items()},
        )
        for name, entry in table.entries.items()
    }
    CalibrationTable(wide, provenance).save(folder / "coarse.json")
    return folder / "coarse.json"


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_half_of_a_coarse_settings_drop_is_recovered(
    backend: str,
    options: QatOptions,
    weights: Path,
    crowd: Path,
    everywhere: PlacementPolicy,
    tmp_path: Path,
) -> None:
    try:
        backends.open_backend(backend)
    except MissingRuntimeError as error:
        pytest.skip(str(error))
    table = coarse_table(weights, crowd, everywhere, tmp_path)
    schedule = Schedule(steps=80, batch=8, lr=5e-5)
    options = replace(options, data=crowd, calibration=table, backend=backend, schedule=schedule)
    result = run_qat(options, everywhere)
    assert result["error_before"] > 0.002  # a drop that is worth recovering
    assert result["error_after"] < 0.5 * result["error_before"]


def test_training_starts_from_the_ranges_of_its_target(
    options: QatOptions, weights: Path, market: Path, tmp_path: Path
) -> None:
    path = coarse_table(weights, market, OPENVINO, tmp_path)
    wide = CalibrationTable.load(path)
    narrow = {
        name: replace(e, ranges={s: Range(r.low / 3, r.high / 3) for s, r in e.ranges.items()})
        for name, e in wide.entries.items()
    }
    replace(wide, entries=narrow, targets={"openvino": wide.entries}).save(path)
    run_qat(replace(options, calibration=path))
    trained = CalibrationTable.load(options.out / "calibration.json")
    assert not trained.targets
    for name, entry in trained.entries.items():
        for scheme, covered in entry.ranges.items():
            wanted = wide.range(name, SCHEMES[scheme])
            assert covered.high == pytest.approx(max(-wanted.low, wanted.high), rel=0.4)


def test_an_interrupted_run_resumes_to_the_same_bytes(
    options: QatOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_qat(options)
    step = Distiller._step

    def interrupted(self: Distiller, batch: Any) -> float:
        self.interrupt.requested = self.progress.step == 2
        return step(self, batch)

    other = replace(options, out=tmp_path / "other")
    monkeypatch.setattr(Distiller, "_step", interrupted)
    with pytest.raises(StopRequested):
        run_qat(other)
    monkeypatch.setattr(Distiller, "_step", step)
    run_qat(replace(other, resume=True))
    for name in ("weights.safetensors", "calibration.json"):
        assert (other.out / name).read_bytes() == (options.out / name).read_bytes()


def test_a_training_that_is_refused_leaves_no_weights(
    options: QatOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgereid.train.qat.run.agreement", lambda a, b: 0.5)
    with pytest.raises(InputError, match="cannot be trained with quantisation"):
        run_qat(options)
    assert [path.name for path in options.out.iterdir()] == ["last.pt"]


def test_a_run_resumes_only_with_the_same_options(options: QatOptions) -> None:
    run_qat(options)
    with pytest.raises(UsageError, match="was written by another run: schedule"):
        run_qat(replace(options, resume=True, schedule=replace(SHORT, lr=1e-5)))
    with pytest.raises(UsageError, match="already holds a run"):
        run_qat(options)


def test_export_takes_the_weights_and_the_table(
    options: QatOptions, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_qat(replace(options, target="onnxruntime"))
    bundle = options.out / "bundle"
    words = ["export", "tiny", "--weights", str(options.out / "weights.safetensors"), "--int8"]
    words += ["--table", str(options.out / "calibration.json"), "--calib", str(market)]
    words += ["--out", str(bundle), "--target", "onnxruntime", "--threads", "1", "--json"]
    assert main(words) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    told = manifest["provenance"]["calibration"]
    assert (told["method"], told["seed"], told["checked_on"]) == ("given", None, "unknown")
    given = CalibrationTable.load(options.out / "calibration.json")
    assert CalibrationTable.load(bundle / "calibration.json") == given
    assert told["images"] == given.provenance["number"]
    assert {e.method for e in given.entries.values()} == {"qat, torch"}
    graph = load_graph(bundle / "engine.onnx")
    for name, entry in given.entries.items():
        (made,) = (r for r in entry.ranges.values())
        if f"{name}/scale" in graph.weights:
            scheme = SCHEMES[next(iter(entry.ranges))]
            assert graph.weights[f"{name}/scale"] == scheme.parameters(made)[0]
    with open_engine(bundle / "engine.onnx", EngineOptions(threads=1)) as engine:
        out = engine.run(np.zeros((1, 3, 32, 16), np.float32))
    assert np.isfinite(out).all()
    assert result["cosine_to_training"] > 0.99


def test_a_table_of_other_weights_is_refused_by_the_export(
    options: QatOptions, weights: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_qat(options)
    words = ["export", "tiny", "--weights", str(weights), "--int8", "--calib", str(market)]
    words += ["--table", str(options.out / "calibration.json"), "--out", str(options.out / "b")]
    assert main(words) == InputError.exit_code
    assert "was made for another network or other weights" in capsys.readouterr().err


def test_standard_output_is_one_json_object(
    market: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["qat", "tiny", "--data", str(market), "--weights", str(weights), "--json"]
    words += ["--out", str(tmp_path / "run"), "--steps", "1", "--batch", "4", "--threads", "1"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(load_file(tmp_path / "run" / "weights.safetensors"))
    assert result["weights"]["sha256"] == sha256(tmp_path / "run" / "weights.safetensors")
    assert result["command"].startswith("edgereid qat tiny --data market ")


def test_a_loss_that_is_no_number_stops_the_run(
    options: QatOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Distillation, "loss", lambda self, s, t: s.sum() * torch.tensor(float("nan"))
    )
    with pytest.raises(InputError, match="step 1: the loss is nan; choose a lower --lr"):
        run_qat(options)
    assert not (options.out / "weights.safetensors").exists()


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends._MODULES, "modelopt", ("edgereid_is_not_there", "modelopt"))
    with pytest.raises(MissingRuntimeError, match=r'edgereid_is_not_there.*"edgereid\[modelopt\]"'):
        backends.open_backend("modelopt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backend": "magic"}, "unknown --backend 'magic'"),
        ({"target": "toaster"}, "unknown --target 'toaster'"),
        ({"images": 0}, "0 calibration images"),
        ({"threads": 0}, "--threads 0"),
    ],
)
def test_wrong_options_are_refused(change: dict[str, Any], words: str, options: QatOptions) -> None:
    with pytest.raises(UsageError, match=words):
        replace(options, **change)


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"batch": 1}, {"seed": -1}, {"lr": 0.0}, {"ranges": "lucky"}]
)
def test_wrong_schedules_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(SHORT, **change)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    schedule = Schedule(steps=100, lr=1.0)
    rates = [schedule.lr_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)


def test_the_loss_is_zero_for_the_teacher_and_ignores_what_all_share() -> None:
    teacher = torch.randn(6, 5)
    distillation = Distillation(teacher.mean(dim=0))
    assert float(distillation.loss(teacher, teacher)) == pytest.approx(0.0, abs=1e-9)
    far = Distillation(teacher.mean(dim=0) + 100)
    moved = float(far.loss(teacher + 100.1, teacher + 100))
    assert moved == pytest.approx(float(distillation.loss(teacher + 0.1, teacher)), rel=1e-3)


def test_nothing_is_left_of_a_refused_run(options: QatOptions) -> None:
    with pytest.raises(InputError):
        run_qat(replace(options, calibration=options.data / "none.json"))
    assert not options.out.exists() or not (options.out / CHECKPOINT).exists()
