"""``edgereid build`` as a user types it, with TensorRT's fakes (tests/tensorrt): what is printed,
exit codes, what works where torch, TensorRT or a GPU is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from trt_fakes import Failures, build_checks, installed

from edgereid.bundle import Bundle, Manifest, describe_file, write_manifest
from edgereid.calibration.scheme import Range
from edgereid.calibration.table import CalibrationTable, Entry
from edgereid.cli.build import plan_after_export
from edgereid.cli.main import main
from edgereid.errors import InputError
from edgereid.export.tensorrt.calibration_cache import CalibrationCache
from edgereid.images import Preprocessing

onnx = pytest.importorskip("onnx")
ROOT = Path(__file__).parents[2]
Captured = pytest.CaptureFixture[str]


def means() -> Any:
    """A network that takes the mean of each channel of 16 x 8 images."""
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["images", "weight"], ["same"], name="conv"),
            onnx.helper.make_node("GlobalAveragePool", ["same"], ["mean"], name="mean"),
            onnx.helper.make_node("Flatten", ["mean"], ["features"], name="flat"),
        ],
        "means",
        [info("images", 1, ["batch", 3, 16, 8])],
        [info("features", 1, ["batch", 3])],
        [onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "weight")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = tmp_path / "means"
    directory.mkdir()
    (directory / "model.onnx").write_bytes(means().SerializeToString())
    entry = Entry(-2.1, 2.6, 7, "mse", {"int8": Range(-2.54, 2.54)})
    CalibrationTable({"images": entry}).save(directory / "calibration.json")
    files = (
        describe_file(directory / "model.onnx", "float", "onnxruntime", "f32"),
        describe_file(directory / "calibration.json", "calibration"),
    )
    write_manifest(directory, Manifest("means", 3, Preprocessing(16, 8), files, targets=()))
    return directory


def test_the_calibration_cache_has_the_ranges_of_tensorrt(bundle: Path, tmp_path: Path) -> None:
    path, cache = bundle / "calibration.json", tmp_path / "cache"
    table, manifest = CalibrationTable.load(path), Bundle.open(bundle).manifest
    own = replace(table.entries["images"], ranges={"int8": Range(-1.27, 1.27)})
    replace(table, targets={"tensorrt": {"images": own}}).save(path)
    files = (manifest.files[1], describe_file(path, "calibration"))
    write_manifest(bundle, replace(manifest, files=files))
    assert main(["build", str(bundle), "--write-calibration-cache", str(cache)]) == 0
    assert CalibrationCache.load(cache).scales == {"images": pytest.approx(0.01)}


def test_the_plan_and_what_it_was_built_for_are_printed(bundle: Path, capsys: Captured) -> None:
    with installed("10.3"):
        assert main(["build", str(bundle), "--fp16", "--batch", "1,2,4", "--level", "1"]) == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first.startswith(f"{bundle / 'engine.plan'}: f16, ")
    assert "TensorRT 10.3.0" in second
    assert "weak typing, batches 1 to 4 (tuned for 2)" in second
    assert "this takes minutes" in err


def test_json_is_one_object_that_the_manifest_agrees_with(bundle: Path, capsys: Captured) -> None:
    with installed("11.4"):
        assert main(["build", str(bundle), "--json", "--out", "strong.plan"]) == 0
    report = json.loads(capsys.readouterr().out)
    manifest = Bundle.open(bundle).manifest
    assert report["plan"]["name"] == "strong.plan"
    assert report["provenance"] == manifest.provenance["plans"]["strong.plan"]
    assert report["provenance"]["typing"] == "strong"
    assert report["provenance"]["command"][0] == "edgereid"
    assert "jetson" not in report["provenance"]


def test_on_a_jetson_the_manifest_says_which(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"model": "Jetson AGX Orin", "l4t": "36.4.3", "jetpack": None}
    board = SimpleNamespace(**{n: SimpleNamespace(value=v) for n, v in facts.items()})
    monkeypatch.setattr("edgereid.bench.jetson.board.board", lambda: board)
    with installed("10.3"):
        assert main(["build", str(bundle)]) == 0
    plans = Bundle.open(bundle).manifest.provenance["plans"]
    assert plans["engine.plan"]["jetson"] == facts


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--batch", "8,1"], 2, "MIN,OPT,MAX"),
        (["--level", "9"], 2, "levels 0 to 5"),
        (["--typing", "loose"], 2, "auto, weak, strong"),
        (["--precision", "fp16"], 2, "int8, f16, f32"),
        (["--int8", "--fp16"], 2, "not allowed with"),
        (["--int8"], 3, "--int8 --target tensorrt"),
        (["--dla", "5"], 2, "DLA core 5"),
        (["--out", "../x.plan"], 2, "plain name"),
        (["--cache-header", "x"], 2, "--write-calibration-cache"),
        (["--timing-cache", "/dev/null/x"], 2, "no folder"),
        (["--calibration-cache", "/none.cache"], 3, "/none.cache"),
    ],
)
def test_a_wrong_flag_is_one_line_and_its_exit_code(
    arguments: list[str], code: int, text: str, bundle: Path, capsys: Captured
) -> None:
    with installed("10.3"):
        try:
            got = main(["build", str(bundle), *arguments])
        except SystemExit as stop:  # argparse's own
            got = int(stop.code or 0)
    assert got == code
    said = capsys.readouterr().err
    assert text in said
    assert "Traceback" not in said
    assert not list(bundle.glob("*.plan"))


def test_ctrl_c_is_exit_code_130_and_leaves_the_bundle_as_it_was(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    original = build_checks.monitored

    def pressed(*arguments: Any) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(build_checks, "monitored", pressed)
    before = sorted(f.name for f in bundle.iterdir())
    with installed("10.3"):
        assert main(["build", str(bundle)]) == 130
    assert capsys.readouterr().err.endswith("edgereid: interrupted.\n")
    assert sorted(f.name for f in bundle.iterdir()) == before


@pytest.mark.parametrize(
    ("release", "gpu", "text"),
    [(None, True, "TensorRT is not installed here"), ("10.3", False, "no usable GPU or driver")],
)
def test_where_no_plan_can_be_built_it_is_one_line_and_exit_code_4(
    release: str | None, gpu: bool, text: str, bundle: Path, capsys: Captured
) -> None:
    with installed(release, gpu=gpu):
        assert main(["build", str(bundle)]) == 4
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert text in err


def test_a_calibration_cache_is_written_without_tensorrt(
    bundle: Path, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "x.cache"
    with installed(None):
        assert main(["build", str(bundle), "--write-calibration-cache", str(path)]) == 0
    assert path.read_bytes() == b"TRT-8603-EntropyCalibration2\nimages: 3ca3d70a\n"
    assert "1 tensors" in capsys.readouterr().out
    header = "TRT-100300-MinMaxCalibration"
    flags = ["--write-calibration-cache", str(path), "--cache-header", header, "--json"]
    assert main(["build", str(bundle), *flags]) == 0
    assert json.loads(capsys.readouterr().out) == {"cache": str(path), "tensors": 1}
    assert path.read_text().splitlines()[0] == header
    with installed("8.6"):
        flags = ["--calibration-cache", str(path), "--dla", "0"]
        assert main(["build", str(bundle), *flags]) == 0
    assert Bundle.open(bundle).file("engine.plan").precision == "int8"


def test_a_bundle_without_a_table_has_no_cache_to_write(
    bundle: Path, tmp_path: Path, capsys: Captured
) -> None:
    (bundle / "calibration.json").unlink()
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["calibration.json"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    path = tmp_path / "x.cache"
    assert main(["build", str(bundle), "--write-calibration-cache", str(path)]) == 3
    assert "no calibration table" in capsys.readouterr().err
    assert not path.exists()


# --- behind an export -------------------------------------------------------------------------


def test_an_export_gets_its_plan_where_one_can_be_built(bundle: Path) -> None:
    with installed("10.3"):
        after = plan_after_export(Bundle.open(bundle))
    assert after.file("engine.plan").runtime == "tensorrt"
    assert after == Bundle.open(bundle)


@pytest.mark.parametrize(("release", "gpu"), [(None, True), ("10.3", False)])
def test_an_export_elsewhere_ends_well_and_names_the_command_for_the_device(
    release: str | None, gpu: bool, bundle: Path, capsys: Captured
) -> None:
    before = Bundle.open(bundle)
    with installed(release, gpu=gpu):
        assert plan_after_export(before) == before
    assert capsys.readouterr().err.endswith(f"edgereid build {bundle}\n")
    assert Bundle.open(bundle) == before


def test_an_export_whose_plan_fails_keeps_the_bundle(bundle: Path, capsys: Captured) -> None:
    failing = Failures(build="memory")
    with installed("10.3", failures=failing), pytest.raises(InputError, match="OutOfMemory"):
        plan_after_export(Bundle.open(bundle))
    assert f"is written, without a plan; to try again: edgereid build {bundle}" in (
        capsys.readouterr().err
    )
    assert not (bundle / "engine.plan").exists()


# --- a device has no torch --------------------------------------------------------------------

ON_A_DEVICE = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "openvino", "fvcore", "onnxscript"):
            raise ModuleNotFoundError(f"{name} is not on this device", name=name)
sys.meta_path.insert(0, Forbid())
from trt_fakes import installed
from edgereid.cli.main import main
with installed(sys.argv[1]):
    sys.exit(main(["build", *sys.argv[2:]]))
"""


def run(release: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "tests" / "tensorrt"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", ON_A_DEVICE, release, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize("release", ["8.6", "11.4"])
def test_a_plan_is_built_where_torch_is_not_installed(release: str, bundle: Path) -> None:
    done = run(release, str(bundle))
    assert done.returncode == 0, done.stderr
    assert Bundle.open(bundle).file("engine.plan").precision == "f16"
