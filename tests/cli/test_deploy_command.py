"""``edgereid deploy`` as a user types it: what is printed, exit codes, one line on bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgereid.bundle import Manifest, describe_file, write_manifest
from edgereid.cli.main import main
from edgereid.images import Preprocessing

onnx = pytest.importorskip("onnx")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose network takes the mean of each channel: float, dynamic batch."""
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("GlobalAveragePool", ["images"], ["mean"], name="mean"),
            onnx.helper.make_node("Flatten", ["mean"], ["features"], name="flat"),
        ],
        "means",
        [info("images", 1, ["batch", 3, 16, 8])],
        [info("features", 1, ["batch", 3])],
    )
    directory = tmp_path / "means"
    directory.mkdir()
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    file = describe_file(directory / "model.onnx", "float", "onnxruntime", "f32")
    write_manifest(directory, Manifest("means", 3, Preprocessing(16, 8), (file,)))
    return directory


@pytest.mark.parametrize(
    ("flags", "file", "last"),
    [
        (["--format", "triton"], "means/config.pbtxt", "tritonserver"),
        (["--format", "deepstream", "--fold-normalisation"], "reid_section.yml", "paste"),
        (["--format", "deepstream", "--approximate-normalisation"], "model.onnx", "paste"),
        (["--format", "trtexec", "--opt-batch", "4", "--max-batch", "8"], "build.sh", "build"),
    ],
)
def test_files_and_the_next_step_are_printed(
    flags: list[str],
    file: str,
    last: str,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert main(["deploy", str(bundle), *flags, "--out", str(out)]) == 0
    printed, notes = capsys.readouterr()
    assert (out / file).is_file()
    assert f"  {file}\n" in printed
    assert last in printed.splitlines()[-1]
    assert str(out) in printed.splitlines()[-1]
    assert notes.startswith("deploy: ")


def test_json_is_one_object_and_nothing_else(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["deploy", str(bundle), "--format", "triton", "--out", str(out), "--json"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"directory", "files", "format", "notes"}
    assert sorted(said["files"]) == ["means/1/model.onnx", "means/config.pbtxt"]
    assert main([*command, "--force", "--name", "other"]) == 0
    assert (out / "other").is_dir()
    assert not (out / "means").exists()


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        (["--format", "tensorflow"], 2, "triton, deepstream, trtexec"),
        (["--format", "triton", "--opt-batch", "4"], 2, "--opt-batch means nothing"),
        (["--format", "triton", "--fold-normalisation"], 2, "--fold-normalisation means nothing"),
        (["--format", "trtexec", "--name", "x"], 2, "--name means nothing"),
        (["--format", "triton", "--name", "a/b"], 2, "Triton cannot serve"),
        (["--format", "triton", "--max-batch", "0"], 2, "max_batch 0"),
        (["--format", "deepstream"], 2, "--fold-normalisation puts them into the network"),
        (["--format", "deepstream", "--precision", "int8"], 3, "no INT8 network"),
        (
            ["--format", "deepstream", "--fold-normalisation", "--approximate-normalisation"],
            2,
            "give one",
        ),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    flags: list[str],
    code: int,
    text: str,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["deploy", str(bundle), *flags, "--out", str(tmp_path / "out")]) == code
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert text in line
    assert not (tmp_path / "out").exists()


def test_what_is_no_bundle_or_exists_already_is_told(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--format", "triton", "--out"]
    assert main(["deploy", str(tmp_path), *flags, str(tmp_path / "out")]) == 3
    assert "is no bundle" in capsys.readouterr().err
    assert main(["deploy", str(tmp_path / "none"), *flags, str(tmp_path / "out")]) == 3
    assert "does not exist" in capsys.readouterr().err
    assert main(["deploy", str(bundle), *flags, str(tmp_path / "means")]) == 6
    assert "exists already" in capsys.readouterr().err
    (bundle / "model.onnx").write_bytes(b"changed")
    assert main(["deploy", str(bundle), *flags, str(tmp_path / "out")]) == 5
