"""``edgereid lint`` as a user types it: exit codes, text, JSON, bundles, wrong use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.cli.main import main

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402


def write(path: Path, zero: int = 0, opset: int = 17) -> Path:
    """A quantized input before a ReLU, ``zero``: its zero point."""
    given = ["scale", "zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *given], ["q"], name="stem/q"),
        helper.make_node("DequantizeLinear", ["q", *given], ["dq"], name="stem/dq"),
        helper.make_node("Relu", ["dq"], ["y"], name="relu"),
    ]
    constants = [
        numpy_helper.from_array(np.float32(0.1), "scale"),
        numpy_helper.from_array(np.int8(zero), "zero"),
    ]
    info = [helper.make_tensor_value_info(n, 1, ["b", 3, 8, 4]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    onnx.save(model, str(path))
    return path


def test_a_clean_file_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "m.onnx")
    assert main(["lint", str(path), "--target", "tensorrt"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{path} for tensorrt 10.3, operator set 17: 0 errors, 0 warnings, 0 notes\n"
    assert err == ""


def test_an_error_ends_with_1_and_is_explained_by_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.onnx", zero=5)
    assert main(["lint", str(path), "--target", "tensorrt"]) == 1
    out = capsys.readouterr().out
    assert "error: zero-point, 1 place\n" in out
    assert "  allowed: 0\n    stem/q: x: zero point 5\n" in out
    assert "  to do: calibrate symmetrically" in out


def test_a_warning_alone_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "m.onnx")
    assert main(["lint", str(path), "--target", "onnxruntime"]) == 0
    assert "warning: activation-type, 1 place" in capsys.readouterr().out


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "m.onnx", zero=5, opset=19)
    assert main(["lint", str(path), "--target", "tensorrt", "--trt-version", "8.6", "--json"]) == 1
    out = json.loads(capsys.readouterr().out)
    assert out["target"] == "tensorrt"
    assert out["release"] == "8.6"
    assert out["opset"] == 19
    assert out["counts"] == {"error": 2, "warning": 0, "note": 0}
    opset, zero = out["findings"]
    assert opset["rule"] == "opset"
    assert (opset["got"], opset["allowed"]) == ("operator set 19", "9 to 17")
    assert zero["node"] == "stem/q"
    assert zero["tensor"] == "x"


def test_places_are_shortened_unless_all_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgereid.export.lint import report

    monkeypatch.setattr(report, "SHOWN", 0)
    arguments = ["lint", str(write(tmp_path / "m.onnx", zero=5)), "--target", "tensorrt"]
    assert main(arguments) == 1
    assert "and 1 more (--all)" in capsys.readouterr().out
    assert main([*arguments, "--all"]) == 1
    assert "more" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["m.onnx", "--target", "tflite"], 2, "unknown target 'tflite': tensorrt, openvino"),
        (["m.onnx", "--target", "openvino", "--trt-version", "8.6"], 2, "is for the target"),
        (["m.onnx", "--target", "tensorrt", "--trt-version", "7.2"], 2, "8.5 or later"),
        (["m.onnx", "--target", "tensorrt", "--trt-version", "new"], 2, "'new' is no version"),
        (["engine.plan", "--target", "tensorrt"], 2, "is no .onnx file"),
        (["none.onnx", "--target", "tensorrt"], 3, "is no file"),
        ([".", "--target", "tensorrt"], 3, "is no bundle"),
    ],
)
def test_wrong_use_is_one_line(
    flags: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    assert main(["lint", *flags]) == code
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert message in line


def make_bundle(folder: Path, files: dict[str, str]) -> Path:
    """A bundle that lists ONNX files by role."""
    from edgereid.bundle import describe_file, write_manifest
    from edgereid.images import Preprocessing
    from edgereid.manifest import Manifest

    folder.mkdir()
    entries: list[Any] = []
    for name, role in files.items():
        write(folder / name, zero=5 if role == "float" else 0)
        entries.append(describe_file(folder / name, role))
    manifest = Manifest("dslnet", 8, Preprocessing(8, 4), tuple(entries), targets=("tensorrt",))
    write_manifest(folder, manifest)
    return folder


def test_of_a_bundle_the_targets_own_file_is_read_else_the_float_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = make_bundle(tmp_path / "a", {"model.onnx": "float", "tensorrt.onnx": "data"})
    assert main(["lint", str(both), "--target", "tensorrt"]) == 0
    assert "tensorrt.onnx for tensorrt" in capsys.readouterr().out
    one = make_bundle(tmp_path / "b", {"model.onnx": "float"})
    assert main(["lint", str(one), "--target", "tensorrt"]) == 1
    assert "model.onnx for tensorrt" in capsys.readouterr().out


def test_a_changed_bundle_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path / "a", {"model.onnx": "float"})
    with (bundle / "model.onnx").open("ab") as f:
        f.write(b"\x00")
    assert main(["lint", str(bundle), "--target", "tensorrt"]) == 5
