"""Opening: the suffix table, what a manifest vouches for, one clear line for what is wrong."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bundle import MANIFEST, Bundle, Manifest, describe_file, write_manifest
from edgereid.engines import open as opening
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import RUNTIMES, SUFFIXES, open_engine
from edgereid.errors import (
    InputError,
    IntegrityError,
    MissingRuntimeError,
    UsageError,
)
from edgereid.images import Preprocessing

for package in ("openvino", "onnxruntime", "onnx"):
    pytest.importorskip(package)


def bundle_of(*files: Path) -> Bundle:
    """A bundle of files that lie in one directory."""
    entries = tuple(
        describe_file(f, "data" if f.suffix in (".bin", ".data") else "engine") for f in files
    )
    return write_manifest(files[0].parent, Manifest("sample", 16, Preprocessing(32, 16), entries))


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def test_the_suffix_table_is_the_documented_one() -> None:
    assert {suffix: row.runtime for suffix, row in SUFFIXES.items()} == {
        ".onnx": "onnxruntime",
        ".xml": "openvino",
        ".plan": "tensorrt",
        ".engine": "tensorrt",
        ".safetensors": "eager",
    }


def test_a_suffix_may_be_in_capitals(sample: Any, tmp_path: Path) -> None:
    with open_engine(sample.write_onnx(tmp_path / "NET.ONNX")) as engine:
        assert engine.info.runtime == "onnxruntime"


def test_the_runtime_may_be_chosen_among_those_that_open_the_suffix(
    sample: Any, tmp_path: Path
) -> None:
    path = sample.write_onnx(tmp_path / "net.onnx")
    with open_engine(path, runtime="openvino") as engine:
        assert engine.info.runtime == "openvino"
    with pytest.raises(UsageError, match=r"eager opens \.safetensors files"):
        open_engine(path, runtime="eager")
    with pytest.raises(UsageError, match=r"unknown runtime 'tvm'.*onnxruntime, openvino"):
        open_engine(path, runtime="tvm")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EngineOptions(threads=0), "0 threads"),
        (EngineOptions(precision="bf16"), "cannot be asked for 'bf16'. Allowed: f32"),
        (EngineOptions(precision="int4"), "'int4'"),
    ],
)
def test_an_option_the_runtime_does_not_have_is_refused(
    sample: Any, tmp_path: Path, options: EngineOptions, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        open_engine(sample.write_onnx(tmp_path / "net.onnx"), options)


def test_a_path_that_is_no_engine_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"unknown suffix '\.tflite'.*\.onnx.*\.xml"):
        open_engine(tmp_path / "net.tflite")
    with pytest.raises(InputError, match="does not exist"):
        open_engine(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match="is a directory"):
        open_engine(tmp_path)
    with pytest.raises(InputError, match=r"cannot read|does not exist"):
        open_engine(tmp_path / ("x" * 300 + ".onnx"))


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.touch()
    os.truncate(path, opening.MAX_ENGINE_BYTES + 1)  # sparse: takes no room
    with pytest.raises(InputError, match="more than 2,147,483,648"):
        open_engine(path)


def garbage(path: Path, sample: Any) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(3000))


def empty(path: Path, sample: Any) -> None:
    path.touch()


def text(path: Path, sample: Any) -> None:
    path.write_text("<html><body>404 not found</body></html>\n")


def cut_off(path: Path, sample: Any) -> None:
    whole = path.with_name(f"whole{path.suffix}")
    write = {".onnx": "write_onnx", ".xml": "write_xml", ".safetensors": "write_safetensors"}
    getattr(sample, write[path.suffix])(whole)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    if path.suffix == ".xml":
        shutil.copy(whole.with_suffix(".bin"), path.with_suffix(".bin"))


@pytest.mark.parametrize("damage", [garbage, empty, text, cut_off])
@pytest.mark.parametrize(
    ("suffix", "runtime"),
    [(".onnx", "onnxruntime"), (".onnx", "openvino"), (".xml", None), (".safetensors", None)],
)
def test_a_file_that_is_not_what_its_suffix_says_gives_one_line_and_nothing_else(
    sample: Any,
    registered: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    damage: Callable[[Path, Any], None],
    suffix: str,
    runtime: str | None,
) -> None:
    path = tmp_path / f"net{suffix}"
    damage(path, sample)
    if suffix == ".xml":
        path.with_suffix(".bin").write_bytes(b"weights")
    with pytest.raises(InputError) as caught:
        open_engine(path, runtime=runtime)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert len(message) < 500
    assert "Exception from" not in message
    assert "ONNXRuntimeError" not in message
    assert capfd.readouterr() == ("", "")  # no runtime talks past us


@pytest.mark.parametrize("size", [None, 0, 100])
def test_an_openvino_network_without_its_weights_is_refused(
    sample: Any, tmp_path: Path, size: int | None
) -> None:
    path = sample.write_xml(tmp_path / "net.xml")
    weights = path.with_suffix(".bin")
    if size is None:
        weights.unlink()
    else:
        os.truncate(weights, size)
    with pytest.raises(InputError, match=r"net\.bin is missing" if size is None else "bin file"):
        open_engine(path)


def write_external(sample: Any, directory: Path, location: str) -> Path:
    return Path(sample.write_onnx(directory / "net.onnx", external=location))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("escape", ["../out.data", "sub/../../out.data", "absolute", "link.data"])
def test_tensors_outside_the_directory_are_refused(
    sample: Any, tmp_path: Path, runtime: str, escape: str
) -> None:
    directory = tmp_path / "in"
    (directory / "sub").mkdir(parents=True)
    outside = tmp_path / "out.data"
    outside.write_bytes(sample.kernel.tobytes())
    (directory / "link.data").symlink_to(outside)
    location = str(outside) if escape == "absolute" else escape
    with pytest.raises(InputError, match="outside its directory"):
        open_engine(write_external(sample, directory, location), runtime=runtime)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_tensors_in_a_file_beside_the_network_are_read(
    sample: Any, images: Any, tmp_path: Path, runtime: str
) -> None:
    path = write_external(sample, tmp_path, "net.onnx.data")
    with pytest.raises(InputError, match=r"net\.onnx\.data is missing"):
        open_engine(path, runtime=runtime)
    (tmp_path / "net.onnx.data").write_bytes(sample.kernel.tobytes())
    with open_engine(path, runtime=runtime) as engine:
        np.testing.assert_allclose(engine.run(images(2)), sample.embed(images(2)), rtol=1e-3)


def other_networks() -> dict[str, Any]:
    """ONNX files that run, but embed no images."""
    from onnx import helper

    def model(inputs: Any, outputs: Any, nodes: Any) -> Any:
        graph = helper.make_graph(
            nodes,
            "other",
            [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
            [helper.make_tensor_value_info(n, t, s) for n, t, s in outputs],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    flatten = helper.make_node("Flatten", ["x"], ["y"])
    identity = helper.make_node("Identity", ["x"], ["y"])
    both = [flatten, helper.make_node("Relu", ["x"], ["z"])]
    image = ("x", 1, ["N", 3, 4, 4])
    return {
        "a flat input": model([("x", 1, ["N", 48])], [("y", 1, ["N", 48])], [flatten]),
        "one channel": model([("x", 1, ["N", 1, 4, 4])], [("y", 1, ["N", 16])], [flatten]),
        "a map as output": model([image], [("y", 1, ["N", 3, 4, 4])], [identity]),
        "two outputs": model([image], [("y", 1, ["N", 48]), ("z", 1, ["N", 3, 4, 4])], both),
        "half precision": model([("x", 10, ["N", 3, 4, 4])], [("y", 10, ["N", 48])], [flatten]),
        "two inputs": model(
            [image, ("w", 1, ["N", 3, 4, 4])],
            [("y", 1, ["N", 48])],
            [helper.make_node("Add", ["x", "w"], ["s"]), helper.make_node("Flatten", ["s"], ["y"])],
        ),
    }


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("which", sorted(other_networks()))
def test_a_network_that_embeds_no_images_is_refused(
    tmp_path: Path, runtime: str, which: str
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(other_networks()[which].SerializeToString())
    with pytest.raises(InputError, match="is no embedding network: it takes"):
        open_engine(path, runtime=runtime)


@pytest.mark.parametrize("runtime", sorted(RUNTIMES))
def test_a_missing_runtime_says_what_to_install(
    sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    row = RUNTIMES[runtime]
    path = tmp_path / f"net{row.opens[0]}"
    if path.suffix == ".onnx":
        sample.write_onnx(path)
    path.touch()
    path.with_suffix(".bin").touch()
    monkeypatch.setitem(sys.modules, row.packages[0], None)  # as if not installed
    with pytest.raises(MissingRuntimeError) as caught:
        open_engine(path, runtime=runtime)
    assert f"{row.packages[0]} " in str(caught.value)
    assert f'pip install "edgereid[{row.extra}]"' in str(caught.value)
    assert caught.value.exit_code == 4


def test_one_runtime_is_opened_where_the_others_are_not_installed(
    sample: Any, tmp_path: Path
) -> None:
    path = sample.write_onnx(tmp_path / "net.onnx")
    blocked = {"torch", "onnx", "safetensors", "openvino", "onnxruntime", "tensorrt"}
    for runtime in ("onnxruntime", "openvino"):
        absent = sorted(blocked - {runtime})
        code = (
            "import sys\n"
            f"sys.modules.update(dict.fromkeys({absent}))\n"
            "from pathlib import Path\n"
            "from edgereid.engines.open import open_engine\n"
            f"print(open_engine(Path({str(path)!r}), runtime={runtime!r}).info.runtime)\n"
        )
        root = Path(opening.__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root
        )
        assert done.stdout.strip() == runtime, done.stderr


# Bundles


def test_a_file_in_a_bundle_opens_and_a_changed_byte_anywhere_is_refused(
    sample: Any, tmp_path: Path
) -> None:
    xml = sample.write_xml(tmp_path / "engine.xml")
    onnx = sample.write_onnx(tmp_path / "model.onnx")
    bundle_of(xml, xml.with_suffix(".bin"), onnx)
    for path in (xml, onnx):
        open_engine(path).close()
    flip_last_byte(xml.with_suffix(".bin"))
    for path in (xml, onnx):
        with pytest.raises(IntegrityError, match=r"engine\.bin is not the file"):
            open_engine(path)
    assert IntegrityError.exit_code == 5


def test_nothing_is_opened_in_a_bundle_that_its_manifest_does_not_list(
    sample: Any, tmp_path: Path
) -> None:
    xml = sample.write_xml(tmp_path / "engine.xml")
    bundle_of(sample.write_onnx(tmp_path / "model.onnx"))
    with pytest.raises(IntegrityError, match=r"engine\.xml is not listed"):
        open_engine(xml)
    with open_engine(xml, EngineOptions(trust=True)) as engine:
        assert engine.info.runtime == "openvino"
    bundle_of(xml)
    with pytest.raises(IntegrityError, match=r"engine\.bin is not listed"):
        open_engine(xml)


def test_external_tensors_in_a_bundle_must_be_listed(sample: Any, tmp_path: Path) -> None:
    path = write_external(sample, tmp_path, "net.data")
    weights = tmp_path / "net.data"
    weights.write_bytes(sample.kernel.tobytes())
    bundle_of(path)
    with pytest.raises(IntegrityError, match=r"net\.data is not listed"):
        open_engine(path)
    bundle_of(path, weights)
    open_engine(path).close()
    flip_last_byte(weights)
    with pytest.raises(IntegrityError, match=r"net\.data is not the file"):
        open_engine(path)


def test_a_bundle_copied_elsewhere_still_opens(sample: Any, images: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    xml = sample.write_xml(tmp_path / "a" / "engine.xml")
    bundle_of(xml, xml.with_suffix(".bin"))
    shutil.move(tmp_path / "a", tmp_path / "b")
    with open_engine(tmp_path / "b" / "engine.xml") as engine:
        assert engine.run(images(1)).shape == (1, 16)


def test_a_foreign_manifest_beside_an_engine_is_an_error_not_a_bundle(
    sample: Any, tmp_path: Path
) -> None:
    path = sample.write_onnx(tmp_path / "model.onnx")
    (tmp_path / MANIFEST).write_text('{"name": "a web page"}')
    with pytest.raises(InputError, match="schema None"):
        open_engine(path)


# TensorRT


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "engine.plan"
    path.write_bytes(struct.pack("<I", 0x74727466) + bytes(100))
    return path


@pytest.fixture
def _reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT in name only: whoever gets as far as to load the plan is told so."""

    def refuse(path: Path, options: EngineOptions) -> Any:
        raise UsageError(f"loading {path.name}")

    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))
    monkeypatch.setattr("edgereid.engines.tensorrt.engine.TensorRTEngine", refuse)


@pytest.mark.usefixtures("_reached")
def test_a_plan_is_native_code_and_needs_a_manifest_or_trust(plan: Path) -> None:
    with pytest.raises(IntegrityError, match="native code and no manifest vouches"):
        open_engine(plan)
    with pytest.raises(UsageError, match=r"loading engine\.plan"):
        open_engine(plan, EngineOptions(trust=True))
    bundle_of(plan)
    with pytest.raises(UsageError, match=r"loading engine\.plan"):
        open_engine(plan)
    flip_last_byte(plan)
    with pytest.raises(IntegrityError, match="is not the file"):
        open_engine(plan)


def test_cuda_graphs_are_refused_where_there_are_none(sample: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="onnxruntime has no CUDA graphs"):
        open_engine(sample.write_onnx(tmp_path / "net.onnx"), EngineOptions(cuda_graph=False))
