"""OpenVINO's files: small, 8 bits stay 8 bits, the same numbers, the same bytes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.calibration.scheme import SCHEMES, Range
from edgereid.calibration.table import CalibrationTable, Entry
from edgereid.engines.open import open_engine
from edgereid.errors import InputError, MissingRuntimeError, StorageError
from edgereid.export import openvino_ir
from edgereid.export.openvino_ir import compact_xml, write_ir
from edgereid.export.policy import OPENVINO
from edgereid.export.qdq import quantize

onnx = pytest.importorskip("onnx")
ov = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def folder(make_small: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """float.onnx and int8.onnx, and their IR beside them."""
    folder = tmp_path_factory.mktemp("ir")
    model = make_small()
    names = ["images", *(name for node in model.graph.node for name in node.output)]
    ranges = {s: Range(-3.0, 3.0) for s in SCHEMES} | {"uint8": Range(0.0, 3.0)}
    entries = {n: Entry(0.0 if "relu" in n else -3.0, 3.0, 1, "mse", ranges) for n in names}
    onnx.save(model, str(folder / "float.onnx"))
    onnx.save(quantize(model, CalibrationTable(entries), OPENVINO)[0], str(folder / "int8.onnx"))
    for name in ("float", "int8"):
        write_ir(folder / f"{name}.onnx", folder / f"{name}.xml")
    return folder


@pytest.mark.parametrize("name", ["float", "int8"])
def test_the_files_give_what_openvino_gives_for_the_onnx_file(
    folder: Path, crops: np.ndarray, name: str
) -> None:
    with (
        open_engine(folder / f"{name}.xml") as engine,
        open_engine(folder / f"{name}.onnx", runtime="openvino") as original,
    ):
        assert engine.inputs[0].name == "images"
        assert engine.inputs[0].shape == (None, 3, 16, 8)
        assert engine.outputs[0].name == "features"
        for batch in (1, 7):
            want = original.run(crops[:batch])
            np.testing.assert_allclose(engine.run(crops[:batch]), want, atol=1e-4)


def test_8_bit_weights_are_8_bits_in_the_file(folder: Path) -> None:
    text = (folder / "int8.xml").read_text()
    stored = sum(int(s) for s in re.findall(r'element_type="i8"[^>]*size="(\d+)"', text))
    graph = onnx.load(str(folder / "float.onnx")).graph
    assert stored == sum(np.prod(i.dims) for i in graph.initializer if "weight" in i.name)


def test_the_description_carries_nothing_that_is_inferred(folder: Path) -> None:
    text = (folder / "int8.xml").read_text()
    whole = folder / "whole.xml"
    model = ov.Core().read_model(str(folder / "int8.onnx"))
    openvino_ir._simplify(model)
    ov.save_model(model, str(whole), compress_to_fp16=False)
    assert len(text) < 0.5 * len(whole.read_text())
    assert str(folder) not in text
    assert 'name="mid"' in text, "layers keep their names"


def test_another_process_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgereid.export.openvino_ir import write_ir\n"
        "a, b = map(Path, sys.argv[1:]); write_ir(a, b.with_name('o.xml')); write_ir(a, b)"
    )
    out = tmp_path / "again.xml"
    subprocess.run([sys.executable, "-c", code, folder / "int8.onnx", out], check=True, timeout=60)
    assert out.read_bytes() == (folder / "int8.xml").read_bytes()
    assert out.with_suffix(".bin").read_bytes() == (folder / "int8.bin").read_bytes()


def test_compacting_twice_changes_nothing(folder: Path) -> None:
    data = (folder / "int8.xml").read_bytes()
    assert compact_xml(data) == data


def test_files_that_were_cut_off_are_noticed(folder: Path, tmp_path: Path) -> None:
    data, weights = (folder / "int8.xml").read_bytes(), (folder / "int8.bin").read_bytes()
    openvino_ir._require_complete(data, weights, tmp_path)
    for cut in ((data[:-20], weights), (data, weights[:-1]), (b"", b"")):
        with pytest.raises(StorageError, match="cut off"):
            openvino_ir._require_complete(*cut, tmp_path)


def test_a_disk_that_fills_up_is_named_as_the_cause(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")  # all that OpenVINO says

    monkeypatch.setattr("openvino.save_model", full)
    with pytest.raises(StorageError, match="disk full"):
        write_ir(folder / "int8.onnx", tmp_path / "e.xml")
    assert list(tmp_path.iterdir()) == []


def test_what_openvino_cannot_convert_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(InputError) as error:
        write_ir(tmp_path / "bad.onnx", tmp_path / "e.xml")
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.onnx"]


def test_converting_reports_to_nobody(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was sent over the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    telemetry = pytest.importorskip("openvino_telemetry")
    monkeypatch.setattr(telemetry.Telemetry, "init", refuse)
    monkeypatch.setattr(telemetry.Telemetry, "send_event", refuse)
    write_ir(folder / "float.onnx", tmp_path / "e.xml")


def test_without_openvino_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingRuntimeError, match="pip install"):
        write_ir(tmp_path / "a.onnx", tmp_path / "e.xml")
