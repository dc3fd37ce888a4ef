"""The main job on real files with real engines, and what happens when something is wrong.

Small: 12 drawn persons. The full task is ``make demo``; figures of the full task are not asserted.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgereid.bundle import Bundle
from edgereid.cli.main import main

BENCH = ("--min-time", "0.05", "--min-count", "3", "--max-time", "2", "--batch", "1,4")
BENCH += ("--threads", "1")  # as many processes as processors run tests


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("main") / "data"
    assert main(["synth", str(root), "--ids", "12", "--test-ids", "5", "--workers", "1"]) == 0
    return root


@pytest.fixture(scope="module")
def bundle(data: Path) -> Path:
    out = data.parent / "dslnet-int8"
    flags = ["--int8", "--calib", str(data), "--calib-images", "16", "--threads", "1"]
    assert main(["export", "dslnet", *flags, "--out", str(out)]) == 0
    return out


def fails(capsys: pytest.CaptureFixture[str], code: int, *argv: str | Path) -> str:
    """Run a command that must fail with ``code`` and one line; returns the line."""
    capsys.readouterr()
    assert main([str(a) for a in argv]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("edgereid: error: ")]
    assert len(errors) == 1, err
    return errors[0]


def test_export_writes_a_bundle_whose_engines_are_small_and_agree(bundle: Path) -> None:
    manifest = Bundle.open(bundle).manifest
    sizes = {f.name: f.bytes for f in manifest.files}
    assert sizes["engine.onnx"] <= 0.30 * sizes["model.onnx"]
    assert sizes["engine.xml"] + sizes["engine.bin"] <= 0.30 * sizes["model.onnx"]
    for engine in ("engine.onnx", "engine.xml"):
        assert manifest.provenance["int8"][engine]["centred_cosine"] > 0.98
        assert "int8" in set(manifest.precision[engine].values())


def test_bench_measures_every_engine_and_writes_result_and_page(
    bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, result = tmp_path / "report.html", tmp_path / "result.json"
    recorded = tmp_path / "dslnet-int8"
    shutil.copytree(bundle, recorded)
    argv = ["bench", str(recorded), "--data", str(data), *BENCH, "--max-map-drop", "20"]
    assert main([*argv, "--record", "--html", str(page), "--out", str(result), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed  # one JSON object and nothing else
    rows = json.loads(result.read_text())["rows"]
    found = {(row["runtime"], row["precision"]) for row in rows}
    assert {("eager", "f32"), ("onnxruntime", "f32"), ("onnxruntime", "int8")} <= found
    assert {("openvino", "f32"), ("openvino", "int8")} <= found
    assert "<svg" in page.read_text()
    accuracy = Bundle.open(recorded).manifest.accuracy
    measured = {row["file"].split("/")[1]: row["accuracy"] for row in rows}
    assert accuracy["engines"]["engine.xml:openvino"]["map"] == measured["engine.xml"]["mean_ap"]
    assert accuracy["dataset"]["queries"] > 0


def test_a_broken_accuracy_budget_is_exit_code_1(
    bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An engine with scrambled weights, which its manifest vouches for, recognises nobody."""
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    _randomise_engine(broken)
    argv = ["bench", str(broken / "engine.onnx"), "--data", str(data), *BENCH]
    assert main([*argv, "--out", str(tmp_path / "r.json")]) == 1
    assert "engine.onnx" in capsys.readouterr().out


def _randomise_engine(directory: Path) -> None:
    """Scramble the INT8 weights of engine.onnx, and vouch for the result."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    from edgereid.files import dump_json, sha256

    path = directory / "engine.onnx"
    model = onnx.load(path)
    rng = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.int8 and array.ndim > 1:
            shuffled = rng.permutation(array.ravel()).reshape(array.shape)
            tensor.CopyFrom(numpy_helper.from_array(shuffled, tensor.name))
    onnx.save(model, path)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"]["engine.onnx"] |= {"sha256": sha256(path), "bytes": path.stat().st_size}
    (directory / "manifest.json").write_text(dump_json(manifest))


def test_bench_runs_where_torch_is_not_installed(bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Forbid:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'onnx'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Forbid())\n"
        "from edgereid.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    argv = ["bench", bundle, *BENCH, "--out", tmp_path / "r.json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, argv)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "torch" in done.stdout + done.stderr  # the eager row is left out, with its reason


def test_a_changed_byte_in_a_bundle_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(bundle, changed)
    engine = changed / "engine.bin"
    content = bytearray(engine.read_bytes())
    content[1000] ^= 1
    engine.write_bytes(content)
    assert "engine.bin" in fails(capsys, 5, "bench", changed)


def test_a_corrupt_image_is_named(
    bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "data"
    shutil.copytree(data, bad)
    victim = sorted((bad / "query").glob("*.jpg"))[3]
    victim.write_bytes(victim.read_bytes()[:200])
    line = fails(capsys, 3, "bench", bundle, "--data", bad, *BENCH)
    assert victim.name in line


def test_folders_that_are_no_data_set_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    (other / "train").mkdir(parents=True)
    for folder in (empty, other, tmp_path / "missing"):
        line = fails(capsys, 3, "train", "dslnet", "--data", folder, "--out", tmp_path / "run")
        assert folder.name in line
    assert not (tmp_path / "run").exists()


def test_calibration_on_query_or_gallery_images_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("query", "bounding_box_test"):
        argv = ("export", "dslnet", "--int8", "--calib", data / folder, "--out", tmp_path / "b")
        assert folder in fails(capsys, 3, *argv)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["export", "dslnett"], 2, "dslnett"),
        (["profile", "resnet"], 2, "resnet"),
        (["bench", "engine.weird"], 2, ".weird"),
        (["bench", "garbage.onnx", "--record"], 2, "--data"),
        (["bench", "garbage.onnx", "--record", "--data", "."], 2, "one bundle's directory"),
        (["bench", "missing.onnx"], 3, "missing.onnx"),
        (["bench", "garbage.onnx"], 3, "garbage.onnx"),
    ],
)
def test_wrong_names_and_foreign_files_are_one_line(
    argv: list[str],
    code: int,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("engine.weird").write_bytes(b"x")
    Path("garbage.onnx").write_bytes(b"no network")
    assert text in fails(capsys, code, *argv)


def test_a_plan_without_tensorrt_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    plan = tmp_path / "engine.plan"
    plan.write_bytes(b"plan")
    assert "tensorrt" in fails(capsys, 4, "bench", plan, "--trust").lower()


def test_a_full_disk_leaves_nothing_behind(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file system runs full while the float model is written."""
    from edgereid.export import torch_onnx

    def full(*arguments: object) -> None:
        with open("/dev/full", "wb") as f:
            f.write(b"x" * 2**20)

    monkeypatch.setattr(torch_onnx, "export_onnx", full)
    out = tmp_path / "bundle"
    line = fails(capsys, 6, "export", "dslnet", "--calib", data, "--out", out)
    assert "disk is full" in line
    assert list(tmp_path.iterdir()) == []
