"""The repairs as an export calls them: files beside the model, and a report of what they did."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.table import CalibrationTable  # noqa: E402
from edgereid.cli import repair_flags  # noqa: E402
from edgereid.errors import InputError  # noqa: E402
from edgereid.export.int8 import Int8Engine  # noqa: E402
from edgereid.export.options import ExportOptions  # noqa: E402
from edgereid.export.origin import Written  # noqa: E402
from edgereid.export.repair.files import equalize_file, equalizing, mending  # noqa: E402
from edgereid.export.repair.mended import load_mended  # noqa: E402
from edgereid.export.repair.options import RepairOptions  # noqa: E402
from edgereid.images import Preprocessing, load_batch  # noqa: E402
from tests.export.repair.conftest import calibrated, evaluate  # noqa: E402

PREPROCESSING = Preprocessing(16, 8)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (16, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return sorted(tmp_path.glob("*.png"))


def options(tmp_path: Path, repairs: RepairOptions, int8: bool = True) -> ExportOptions:
    return ExportOptions("dslnet", tmp_path / "out", int8=int8, repairs=repairs)


def test_the_engine_is_built_with_the_repairs_beside_the_model(
    small: Any, paths: list[Path], crops: np.ndarray, tmp_path: Path
) -> None:
    images = load_batch(paths, PREPROCESSING)
    table = calibrated(small, images, tmp_path)
    table = CalibrationTable(table.entries, {"preprocessing": PREPROCESSING.to_json()})
    (reference,) = evaluate(small, crops)
    found = []

    def build(target: str, directory: Path, *rest: Any) -> Int8Engine:
        found.append(load_mended(directory, target))
        return Int8Engine("engine", (), {}, {"int8_share_of_macs": 1.0})

    wanted = RepairOptions("mse", bias_correction=True, rounding="nearest")
    made = mending(build, wanted, paths)("openvino", tmp_path, table, crops, reference, 1)
    assert found[0].codes
    assert found[0].shifts
    assert [f.name for f in made.files] == ["mended-openvino.npz"]
    assert made.report["int8_share_of_macs"] == 1.0
    assert made.report["repairs"]["images"] == 12
    steps = made.report["repairs"]["error_after"]
    assert list(steps) == ["none", "weight_scales", "bias_correction"]
    nothing = RepairOptions(equalize=True, rounding="nearest")
    assert mending(build, nothing, paths) is build


@pytest.mark.parametrize("method", ["mse", "qat, torch"])
def test_by_default_rounding_is_learned_unless_the_weights_were_trained_rounded(
    method: str, small: Any, paths: list[Path], tmp_path: Path
) -> None:
    crops = load_batch(paths, PREPROCESSING)
    table = calibrated(small, crops, tmp_path)
    entries = {name: replace(entry, method=method) for name, entry in table.entries.items()}
    table = CalibrationTable(entries, {"preprocessing": PREPROCESSING.to_json()})
    (reference,) = evaluate(small, crops)

    def build(target: str, directory: Path, *rest: Any) -> Int8Engine:
        return Int8Engine("engine", (), {}, {})

    made = mending(build, RepairOptions(), paths)("openvino", tmp_path, table, crops, reference, 1)
    stored = load_mended(tmp_path, "openvino")
    if method == "mse":
        assert stored.codes
        assert list(made.report["repairs"]["error_after"]) == ["none", "rounding"]
        assert [f.role for f in made.files] == ["repairs"]
    else:
        assert not stored.codes
        assert not list(tmp_path.glob("mended-*"))
        assert made == build("openvino", tmp_path)


def test_equalising_a_file_keeps_its_network_and_reports_each_targets_error(
    small: Any, crops: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(small, str(path))
    report = equalize_file(path, crops, ("openvino", "tensorrt"), threads=1)
    assert report["pairs"] >= 1
    assert report["errors"].keys() == {"openvino", "tensorrt"}
    assert all(0 < e < 1 for found in report["errors"].values() for e in found.values())
    changed = onnx.load(str(path))
    assert changed.SerializeToString() != small.SerializeToString()
    (want,), (got,) = evaluate(small, crops), evaluate(changed, crops)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_a_network_without_pairs_is_refused_and_left_alone(
    crops: np.ndarray, tmp_path: Path
) -> None:
    from tests.export.conftest import Builder

    b = Builder()
    b.op("Flatten", "features", b.op("GlobalMaxPool", "max", b.conv("one", "images", 3, 6)))
    path = tmp_path / "model.onnx"
    onnx.save(b.model(), str(path))
    before = path.read_bytes()
    with pytest.raises(InputError, match="found no two convolutions"):
        equalize_file(path, crops, ("openvino",), threads=1)
    assert path.read_bytes() == before


@dataclass(frozen=True)
class Source:
    """An origin that writes the small network."""

    model: Any
    name: str = "small"
    peer: str = "itself"
    preprocessing: Preprocessing = PREPROCESSING

    def write(self, directory: Path, crops: np.ndarray) -> Written:
        onnx.save(self.model, str(directory / "model.onnx"))
        return Written(evaluate(self.model, crops)[0], (), {"weights": "none"})


def test_an_origin_writes_its_network_equalised_where_that_is_asked_for(
    small: Any, crops: np.ndarray, tmp_path: Path
) -> None:
    source, wanted = Source(small), RepairOptions(equalize=True)
    for off in (options(tmp_path, RepairOptions()), options(tmp_path, wanted, int8=False)):
        assert equalizing(source, off, ("openvino",), 1) is source
    origin = equalizing(source, options(tmp_path, wanted), ("openvino",), 1)
    written = origin.write(tmp_path, crops)
    assert (origin.name, origin.peer, origin.preprocessing) == ("small", "itself", PREPROCESSING)
    assert written.provenance.keys() == {"weights", "equalized"}
    (got,) = evaluate(onnx.load(str(tmp_path / "model.onnx")), crops)
    np.testing.assert_allclose(got, written.reference, atol=1e-5 * np.abs(got).max())


def test_the_flags_are_the_options() -> None:
    parser = argparse.ArgumentParser()
    repair_flags.configure(parser)
    assert repair_flags.repairs_of(parser.parse_args([])) == RepairOptions()
    flags = "--equalize --weight-scales mse --rounding learned --bias-correction"
    got = repair_flags.repairs_of(parser.parse_args(flags.split()))
    assert got == RepairOptions("mse", True, True, "learned")
