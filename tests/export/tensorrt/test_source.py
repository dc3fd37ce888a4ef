"""Which ONNX file a plan is built from, and at which precision. No TensorRT."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgereid.bundle import Bundle, describe_file, write_manifest
from edgereid.errors import InputError, IntegrityError, MissingRuntimeError, UsageError
from edgereid.export.tensorrt.contents import contents
from edgereid.export.tensorrt.options import Batches, BuildOptions
from edgereid.export.tensorrt.recipe import Recipe
from edgereid.export.tensorrt.source import find_model
from edgereid.export.typed.cast import typed_fp16

onnx = pytest.importorskip("onnx")
MakeBundle = Callable[..., Bundle]


@pytest.mark.parametrize(
    ("asked", "leave", "name", "precision"),
    [
        (None, (), "tensorrt.onnx", "int8"),
        ("int8", (), "tensorrt.onnx", "int8"),
        ("f16", (), "model.onnx", "f16"),
        ("f32", (), "model.onnx", "f32"),
        (None, ("tensorrt.onnx",), "model.onnx", "f16"),
    ],
)
def test_of_a_bundle_the_file_for_the_precision_is_taken(
    asked: str | None, leave: tuple[str, ...], name: str, precision: str, make_bundle: MakeBundle
) -> None:
    model = find_model(make_bundle(leave=leave).directory, asked)
    assert (model.path.name, model.precision(asked)) == (name, precision)


@pytest.mark.parametrize("name", ["model.onnx", "tensorrt.onnx"])
def test_a_file_that_is_named_is_taken(name: str, make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    model = find_model(bundle.directory / name, None)
    assert model.path == bundle.directory / name
    assert model.bundle is not None


def test_of_several_float_files_the_float32_network_is_taken(
    make_bundle: MakeBundle, network: Callable[..., Any]
) -> None:
    bundle = make_bundle()
    half = bundle.directory / "a-half.onnx"
    onnx.save(typed_fp16(network())[0], half)
    other = bundle.directory / "a-plain.onnx"
    onnx.save(network(), other)
    files = (describe_file(half, "float", None, "f16"), describe_file(other, "float"))
    manifest = replace(bundle.manifest, files=(*bundle.manifest.files, *files))
    write_manifest(bundle.directory, manifest)
    assert find_model(bundle.directory, "f16").path.name == "model.onnx"
    assert find_model(half, None).half


def test_a_bare_file_has_no_bundle(tmp_path: Path, network: Callable[..., Any]) -> None:
    onnx.save(network(), tmp_path / "reid.onnx")
    model = find_model(tmp_path / "reid.onnx", None)
    assert (model.bundle, model.int8, model.half) == (None, False, False)
    onnx.save(network(quantized=True), tmp_path / "reid.onnx")
    assert find_model(tmp_path / "reid.onnx", None).int8


@pytest.mark.parametrize(
    ("asked", "leave", "error", "text"),
    [
        ("int8", ("tensorrt.onnx",), InputError, "--int8 --target tensorrt"),
        ("f16", ("model.onnx",), InputError, "no float network"),
    ],
)
def test_a_bundle_without_such_a_network_says_how_to_make_it(
    asked: str, leave: tuple[str, ...], error: type[Exception], text: str, make_bundle: MakeBundle
) -> None:
    with pytest.raises(error, match=text):
        find_model(make_bundle(leave=leave).directory, asked)


def test_what_is_placed_for_another_runtime_is_not_taken(make_bundle: MakeBundle) -> None:
    with pytest.raises(InputError, match="quantized for onnxruntime"):
        find_model(make_bundle().directory / "engine.onnx", None)


def test_a_changed_bundle_is_refused(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    with (bundle.directory / "model.onnx").open("ab") as f:
        f.write(b"\0")
    with pytest.raises(IntegrityError):
        find_model(bundle.directory, None)


@pytest.mark.parametrize("name", ["weights.pt", "engine.xml", "none.onnx", "none"])
def test_what_is_no_onnx_file_is_refused(name: str, tmp_path: Path) -> None:
    if not name.startswith("none"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises((UsageError, InputError)):
        find_model(tmp_path / name, None)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"\x08\x07garbage")
    with pytest.raises(InputError, match="not an ONNX file"):
        find_model(tmp_path / "x.onnx", None)


@pytest.mark.parametrize(
    ("quantized", "asked", "calibrated", "text"),
    [
        (True, "f16", False, "Q/DQ makes it int8"),
        (True, "f32", False, "Q/DQ makes it int8"),
        (False, "int8", False, "holds no Q/DQ"),
        (True, None, True, "--calibration-cache"),
        (False, "f16", True, "--calibration-cache"),
    ],
)
def test_a_precision_that_the_file_cannot_give_is_refused(
    quantized: bool,
    asked: str | None,
    calibrated: bool,
    text: str,
    tmp_path: Path,
    network: Callable[..., Any],
) -> None:
    onnx.save(network(quantized), tmp_path / "x.onnx")
    with pytest.raises(UsageError, match=text):
        find_model(tmp_path / "x.onnx", None).precision(asked, calibrated)


def test_a_float_file_is_made_int8_by_a_calibration_cache(
    tmp_path: Path, network: Callable[..., Any]
) -> None:
    onnx.save(network(), tmp_path / "x.onnx")
    assert find_model(tmp_path / "x.onnx", None).precision(None, calibrated=True) == "int8"


def test_tensors_in_other_files_are_read_along_and_must_lie_beside(
    tmp_path: Path, network: Callable[..., Any]
) -> None:
    beside = tmp_path / "a"
    beside.mkdir()
    onnx.save(
        network(), beside / "x.onnx", save_as_external_data=True, location="x.data",
        size_threshold=0,
    )  # fmt: skip
    model = find_model(beside / "x.onnx", None)
    assert model.companions == ("x.data",)
    assert model.load().graph.initializer[0].raw_data
    (beside / "x.data").rename(tmp_path / "x.data")
    with pytest.raises(InputError, match=r"x\.data"):
        find_model(beside / "x.onnx", None)


def test_without_the_package_onnx_one_line_says_so(
    tmp_path: Path, network: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(network(), tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingRuntimeError, match="pip install onnx"):
        find_model(tmp_path / "x.onnx", None)


def test_nodes_without_a_name_get_one_so_that_their_layers_can_be_constrained(
    tmp_path: Path, network: Callable[..., Any]
) -> None:
    proto = network()
    named = [node.name for node in proto.graph.node]
    proto.graph.node[3].name = ""  # the power of GeM
    onnx.save(proto, tmp_path / "x.onnx")
    found = contents(find_model(tmp_path / "x.onnx", None), Recipe("weak", "f16"))
    given = [node.name for node in onnx.load_model_from_string(found.data).graph.node]
    assert [a == b for a, b in zip(given, named, strict=True)].count(False) == 1
    assert given[3] in found.float_layers
    assert found.constrain
    assert set(found.float_layers) <= set(given)


def test_a_file_whose_nodes_have_names_reaches_the_parser_unchanged(
    make_bundle: MakeBundle,
) -> None:
    model = find_model(make_bundle().directory, None)
    assert contents(model, Recipe("weak", "int8")).data == model.path.read_bytes()
    assert contents(model, Recipe("weak", "f32")).float_layers == {}


@pytest.mark.parametrize(
    "text", ["", "1,2", "1,2,3,4", "a", "8,1,32", "0", "1,8,5000", "1.5", "-1"]
)
def test_batches_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"batches|batch"):
        Batches.parse(text)


def test_batches_are_three_numbers_or_one() -> None:
    assert Batches.parse("1,8,32") == Batches(1, 8, 32)
    assert Batches.parse("4") == Batches(4, 4, 4)
    assert str(Batches(1, 8, 32)) == "1,8,32"


@pytest.mark.parametrize(
    "wrong",
    [
        {"precision": "fp16"},
        {"typing": "loose"},
        {"workspace": 0},
        {"level": 6},
        {"level": -1},
        {"dla": -1},
        {"dla": 0, "precision": "f32"},
    ],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        BuildOptions(Path("x.onnx"), **wrong)
