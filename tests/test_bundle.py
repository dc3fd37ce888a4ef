"""Bundles and their manifests: round trips, exact bytes, and everything that must be refused."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgereid.bundle import (
    MANIFEST,
    Bundle,
    BundleFile,
    Manifest,
    describe_file,
    replace_accuracy,
    total_bytes,
    write_manifest,
)
from edgereid.errors import EdgeReidError, InputError, IntegrityError, StorageError
from edgereid.images import Preprocessing

MODEL, WEIGHTS = b"a float model", b"some weights"
GOLDEN = b"""{
  "accuracy": {
    "f32": {
      "map": 0.625
    }
  },
  "distance": "cosine",
  "feature_size": 512,
  "files": {
    "engine.onnx": {
      "bytes": 13,
      "precision": "int8",
      "role": "engine",
      "runtime": "onnxruntime",
      "sha256": "2f810c13ee27106a29b210443b947fd9c1fc21a40d29512552b28db7e6408eb9"
    },
    "weights.safetensors": {
      "bytes": 12,
      "role": "weights",
      "sha256": "a0c76a31f14d6cbed530bfac73778a5bb84861b795e8bd5d4c8eee29784fb766"
    }
  },
  "network": "dslnet",
  "precision": {
    "engine.onnx": {
      "/stem/conv": "int8"
    }
  },
  "preprocessing": {
    "color": "RGB",
    "height": 256,
    "interpolation": "bilinear",
    "mean": [
      0.485,
      0.456,
      0.406
    ],
    "std": [
      0.229,
      0.224,
      0.225
    ],
    "width": 128
  },
  "provenance": {
    "seed": 0
  },
  "schema": 1,
  "targets": [
    "onnxruntime"
  ]
}
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    directory = tmp_path / "dslnet-int8"
    directory.mkdir()
    (directory / "engine.onnx").write_bytes(MODEL)
    (directory / "weights.safetensors").write_bytes(WEIGHTS)
    manifest = Manifest(
        network="dslnet",
        feature_size=512,
        preprocessing=Preprocessing(256, 128),
        files=(
            describe_file(directory / "weights.safetensors", "weights"),
            describe_file(directory / "engine.onnx", "engine", "onnxruntime", "int8"),
        ),
        targets=("onnxruntime",),
        precision={"engine.onnx": {"/stem/conv": "int8"}},
        provenance={"seed": 0},
        accuracy={"f32": {"map": 0.625}},
    )
    return write_manifest(directory, manifest)


def edited(bundle: Bundle, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The bundle's directory after a change to the JSON of its manifest."""
    path = bundle.directory / MANIFEST
    value = json.loads(path.read_text())
    result = change(value)
    path.write_text(json.dumps(value if result is None else result))
    return bundle.directory


def test_a_manifest_has_exactly_these_bytes(bundle: Bundle) -> None:
    assert (bundle.directory / MANIFEST).read_bytes() == GOLDEN


def test_a_manifest_of_mirror_images_says_so_in_one_field_more(bundle: Bundle) -> None:
    flipped = write_manifest(bundle.directory, replace(bundle.manifest, flip=True))
    written = (bundle.directory / MANIFEST).read_bytes()
    line = b'  "flip": true,\n'
    assert written == GOLDEN.replace(b'  "network"', line + b'  "network"')
    assert Bundle.open(bundle.directory) == flipped
    assert flipped.manifest.flip


def test_a_manifest_without_the_field_or_with_false_has_no_mirror_images(bundle: Bundle) -> None:
    assert not bundle.manifest.flip
    assert b"flip" not in GOLDEN
    assert Bundle.open(edited(bundle, changed("flip", to=False))) == bundle


def test_a_bundle_comes_back_as_it_was_written_from_its_directory_or_a_file_in_it(
    bundle: Bundle,
) -> None:
    for path in (bundle.directory, bundle.directory / "engine.onnx", bundle.directory / MANIFEST):
        assert Bundle.is_bundle(path)
        assert Bundle.open(path) == bundle


def test_files_are_found_by_role_and_runtime_in_the_order_of_their_names(bundle: Bundle) -> None:
    assert [f.name for f in bundle.manifest.files] == ["engine.onnx", "weights.safetensors"]
    assert bundle.find("engine") == bundle.find("engine", "onnxruntime")
    assert bundle.find("engine", "openvino") == bundle.find("float") == ()
    assert bundle.path(bundle.file("engine.onnx")).read_bytes() == MODEL
    assert total_bytes(bundle.manifest.files) == len(MODEL) + len(WEIGHTS)
    with pytest.raises(IntegrityError, match=r"other\.onnx is not listed.*nothing vouches"):
        bundle.file("other.onnx")


def test_a_bundle_copied_elsewhere_still_opens(bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.directory, tmp_path / "elsewhere" / "renamed"))
    shutil.rmtree(bundle.directory)
    assert Bundle.open(copy).manifest == bundle.manifest


def test_a_bundle_opens_from_within_its_directory(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle.directory)
    assert Bundle.open(Path()).manifest == bundle.manifest
    assert Bundle.open(Path("engine.onnx")).manifest == bundle.manifest


def test_measured_accuracy_is_recorded_and_nothing_else_changes(bundle: Bundle) -> None:
    updated = replace_accuracy(bundle, {"int8": {"map": 0.5}})
    assert Bundle.open(bundle.directory) == updated
    assert updated.manifest == replace(bundle.manifest, accuracy={"int8": {"map": 0.5}})


# What a manifest does not vouch for


@pytest.mark.parametrize("position", [0, 5, -1])
def test_a_changed_byte_is_refused(bundle: Bundle, position: int) -> None:
    path = bundle.directory / "engine.onnx"
    data = bytearray(MODEL)
    data[position] ^= 0x20
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"engine\.onnx is not the file.*another SHA-256"):
        Bundle.open(bundle.directory)
    assert Bundle.open(bundle.directory, verify=False) == bundle


@pytest.mark.parametrize("data", [b"", MODEL + b"x", MODEL[:-1]])
def test_another_size_is_refused_and_named(bundle: Bundle, data: bytes) -> None:
    (bundle.directory / "engine.onnx").write_bytes(data)
    with pytest.raises(IntegrityError, match=f"{len(data)} bytes instead of 13 bytes"):
        Bundle.open(bundle.directory)


def test_a_missing_file_is_refused(bundle: Bundle) -> None:
    (bundle.directory / "weights.safetensors").unlink()
    with pytest.raises(IntegrityError, match=r"weights\.safetensors is missing"):
        Bundle.open(bundle.directory / "engine.onnx")


def test_a_link_out_of_the_bundle_is_refused_even_to_the_right_bytes(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = bundle.directory / "engine.onnx"
    path.rename(tmp_path / "outside.onnx")
    path.symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(IntegrityError, match=r"engine\.onnx is a link out of its bundle"):
        Bundle.open(bundle.directory)
    path.unlink()
    (bundle.directory / "inside.bin").write_bytes(MODEL)
    path.symlink_to("inside.bin")
    assert Bundle.open(bundle.directory) == bundle


def test_a_bundle_reached_through_a_link_opens(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(bundle.directory)
    assert Bundle.open(tmp_path / "latest").manifest == bundle.manifest


NAMES = [
    "../engine.onnx",
    "/etc/passwd",
    "sub/engine.onnx",
    "..",
    ".",
    "",
    ".hidden",
    "a\\b",
    "a\0b",
    "a\n",
    "engine.onnx ",
    "é.onnx",
    "-rf",
    "x" * 129,
    MANIFEST,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_more_than_a_file_name_is_refused(bundle: Bundle, name: str) -> None:
    def rename(value: dict[str, Any]) -> None:
        value["files"][name] = value["files"].pop("engine.onnx")

    with pytest.raises(InputError, match="only plain names are allowed") as caught:
        Bundle.open(edited(bundle, rename))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError):
        BundleFile(name, "engine", "0" * 64, 0)


# Manifests that cannot be read


def changed(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: dict[str, Any]) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


def removed(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(value: dict[str, Any]) -> None:
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]

    return change


ENGINE = ("files", "engine.onnx")
FAULTS = {
    "a list": (lambda value: [value], "holds no JSON object"),
    "a newer schema": (changed("schema", to=2), "schema 2; this edgereid reads 1"),
    "no schema": (removed("schema"), "schema None"),
    "schema as text": (changed("schema", to="1"), "schema '1'"),
    "schema true": (changed("schema", to=True), "schema True"),
    "an unknown field": (changed("letterbox", to=1), "the field 'letterbox' is unknown"),
    "no network": (removed("network"), "the field 'network' is missing"),
    "a network that is a path": (changed("network", to="../x"), "'network' is '../x'"),
    "no feature": (changed("feature_size", to=0), "'feature_size' is 0: a whole number"),
    "a fraction of a feature": (changed("feature_size", to=1.5), "'feature_size' is 1.5"),
    "a truth as number": (changed("feature_size", to=True), "'feature_size' is True"),
    "an unknown distance": (changed("distance", to="hamming"), "one of cosine, euclidean"),
    "mirror images as number": (changed("flip", to=1), "'flip' is 1: true or false"),
    "targets as text": (changed("targets", to="openvino"), "a list of names"),
    "a target that is no name": (changed("targets", to=[None]), "'targets' is"),
    "precision as list": (changed("precision", to=[]), "a JSON object"),
    "a precision that is no text": (changed("precision", to={"a": {"b": 1}}), "types by node"),
    "provenance as text": (changed("provenance", to="me"), "a JSON object"),
    "accuracy as number": (changed("accuracy", to=1), "a JSON object"),
    "files as list": (changed("files", to=[]), "'files' is"),
    "a file as text": (changed(*ENGINE, to="x"), "a JSON object"),
    "an unknown role": (changed(*ENGINE, "role", to="boss"), "one of weights, float"),
    "a role that is a list": (changed(*ENGINE, "role", to=["engine"]), "one of weights"),
    "a short digest": (changed(*ENGINE, "sha256", to="abc"), "a SHA-256"),
    "a digest in capitals": (changed(*ENGINE, "sha256", to="A" * 64), "a SHA-256"),
    "a negative size": (changed(*ENGINE, "bytes", to=-1), "'bytes' is -1"),
    "no size": (removed(*ENGINE, "bytes"), "'bytes' is missing"),
    "a runtime that is no name": (changed(*ENGINE, "runtime", to=["x"]), "'runtime' is"),
    "a file with an unknown field": (changed(*ENGINE, "url", to="x"), "'url' is unknown"),
    "no mean": (removed("preprocessing", "mean"), "exactly the fields height"),
    "another resize": (changed("preprocessing", "pad", to=1), "exactly the fields height"),
    "two means": (changed("preprocessing", "mean", to=[0, 0]), "three numbers"),
    "a mean of text": (changed("preprocessing", "mean", to="abc"), "three numbers"),
    "an endless mean": (changed("preprocessing", "mean", to=[10**400, 0, 0]), "three numbers"),
    "no spread": (changed("preprocessing", "std", to=[1, 0, 1]), "not above zero"),
    "no height": (changed("preprocessing", "height", to=0), "outside 1..4096"),
    "a height of text": (changed("preprocessing", "height", to="256"), "whole numbers"),
    "an unknown colour order": (changed("preprocessing", "color", to="GBR"), "'GBR' is unknown"),
    "an unknown filter": (changed("preprocessing", "interpolation", to="lanczos"), "unknown"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_manifest_with_a_fault_is_refused_in_one_line_that_names_it(
    bundle: Bundle, fault: str
) -> None:
    change, message = FAULTS[fault]
    with pytest.raises(InputError, match=message) as caught:
        Bundle.open(edited(bundle, change))
    assert "\n" not in str(caught.value)
    assert str(bundle.directory / MANIFEST) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("engine.onnx: 12", "not valid JSON"),
        ('{"schema": 1, "schema": 1}', "occurs twice"),
        ("[" * 100_000, "nested too deeply|not valid JSON"),
        ('{"schema": ' + "9" * 4000 + "}", "schema 9"),
        ('{"schema": "' + "x" * 10**6 + '"}', r"schema 'xx.*\.\.\.x"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_short_line(
    bundle: Bundle, text: str, message: str
) -> None:
    (bundle.directory / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        Bundle.open(bundle.directory)
    assert len(str(caught.value)) < 400 + len(str(bundle.directory))


def test_a_huge_manifest_is_refused_before_it_is_parsed(bundle: Bundle) -> None:
    os.truncate(bundle.directory / MANIFEST, 2**36)  # sparse: takes no room
    with pytest.raises(InputError, match="larger than 64 MiB"):
        Bundle.open(bundle.directory)


def test_where_there_is_no_bundle_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no manifest\.json\. `edgereid export` makes one"):
        Bundle.open(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        Bundle.open(tmp_path / "none")
    assert not Bundle.is_bundle(tmp_path)
    assert not Bundle.is_bundle(tmp_path / "none" / "engine.onnx")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, as keys from the root."""
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*path, index))
    return found


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_hostile_manifest_never_crashes(data: st.DataObject) -> None:
    """A valid manifest with anything at all in one place is read or refused as InputError."""
    value = json.loads(GOLDEN)
    place = data.draw(st.sampled_from(places(value)))
    foreign = data.draw(ANYTHING)
    if not place:
        value = foreign
    else:
        inner = value
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = foreign
    with contextlib.suppress(InputError):
        manifest = Manifest.from_json(value)
        assert Manifest.from_json(manifest.to_json()) == manifest


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_a_directory_with_any_bytes_as_manifest_never_crashes(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / MANIFEST).write_bytes(data)
    with contextlib.suppress(EdgeReidError):
        Bundle.open(directory)


# Writing


def test_a_manifest_is_not_written_when_a_file_it_lists_is_not_in_place(bundle: Bundle) -> None:
    ghost = BundleFile("engine.xml", "engine", "0" * 64, 5, "openvino", "int8")
    manifest = replace(bundle.manifest, files=(*bundle.manifest.files, ghost))
    with pytest.raises(IntegrityError, match=r"engine\.xml is missing"):
        write_manifest(bundle.directory, manifest)
    assert (bundle.directory / MANIFEST).read_bytes() == GOLDEN


def test_a_manifest_that_could_not_be_read_back_is_not_written(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="the manifest to write cannot be read"):
        write_manifest(bundle.directory, replace(bundle.manifest, feature_size=-1))
    with pytest.raises(InputError, match="names a file twice"):
        replace(bundle.manifest, files=bundle.manifest.files * 2)
    assert (bundle.directory / MANIFEST).read_bytes() == GOLDEN


def test_a_full_disk_keeps_the_old_manifest(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        replace_accuracy(bundle, {})
    assert (bundle.directory / MANIFEST).read_bytes() == GOLDEN
    assert len(list(bundle.directory.iterdir())) == 3
