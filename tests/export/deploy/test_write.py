"""What all formats share: whole or not at all, equal bytes, and networks that are not the
manifest's."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgereid.bundle import Bundle
from edgereid.errors import InputError, IntegrityError, StorageError, UsageError
from edgereid.export.deploy.options import FORMATS, DeepStreamOptions, DeployOptions
from edgereid.export.deploy.source import Source, read_ir, read_model
from edgereid.export.deploy.write import RECORD, deploy
from edgereid.files import sha256
from edgereid.images import Preprocessing

onnx = pytest.importorskip("onnx")
MakeBundle = Callable[..., Bundle]
EQUAL = Preprocessing(16, 8, std=(0.5, 0.5, 0.5))


def tree(directory: Path) -> dict[str, bytes]:
    files = (p for p in sorted(directory.rglob("*")) if p.is_file())
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in files}


@pytest.mark.parametrize("format_", FORMATS)
def test_equal_bundles_give_equal_bytes_and_the_record_names_them_all(
    format_: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    trees = []
    for name in ("one", "two"):
        bundle, out = make_bundle(name, preprocessing=EQUAL), tmp_path / f"out-{name}"
        written = deploy(DeployOptions(bundle.directory, out, FORMATS[format_]()))
        trees.append(tree(out))
    assert trees[0] == trees[1]
    assert str(tmp_path).encode() not in b"".join(trees[0].values())
    record = json.loads(trees[0].pop(RECORD))
    assert record["files"] == dict(written.files)
    assert record["files"] == {name: sha256(out / name) for name in trees[0]}
    assert record["format"] == written.format == format_


def test_folding_is_byte_stable_too(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    own = DeepStreamOptions(normalisation="fold")
    for out in ("a", "b"):
        deploy(DeployOptions(bundle.directory, tmp_path / out, own))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_an_existing_directory_is_replaced_only_when_asked_and_only_one_of_ours(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle, out = make_bundle(preprocessing=EQUAL).directory, tmp_path / "out"
    own = DeepStreamOptions()
    deploy(DeployOptions(bundle, out, own, max_batch=8))
    before = tree(out)
    with pytest.raises(StorageError, match="exists already"):
        deploy(DeployOptions(bundle, out, own))
    assert tree(out) == before
    deploy(DeployOptions(bundle, out, own, overwrite=True))
    assert tree(out) != before
    with pytest.raises(StorageError, match="holds no"):
        deploy(DeployOptions(bundle, bundle, own, overwrite=True))
    assert (bundle / "manifest.json").is_file()


def test_a_changed_bundle_is_refused(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle(preprocessing=EQUAL)
    with bundle.path(bundle.file("model.onnx")).open("ab") as f:
        f.write(b"!")
    with pytest.raises(IntegrityError):
        deploy(DeployOptions(bundle.directory, tmp_path / "out", DeepStreamOptions()))
    assert not (tmp_path / "out").exists()


def changed(model: Any, **change: Any) -> Any:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    image, feature = made.graph.input[0], made.graph.output[0]
    dims = {"image": image.type.tensor_type, "feature": feature.type.tensor_type}
    for name, value in change.items():
        which, _, what = name.partition("_")
        if what == "type":
            dims[which].elem_type = value
        else:
            dims[which].shape.dim[int(what)].dim_value = value
    return made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_2": 32}, "takes Nx3x32x8, the manifest says Nx3x16x8"),
        ({"image_1": 1}, "takes Nx1x16x8"),
        ({"feature_1": 7}, "gives Nx7, the manifest says Nx6"),
        ({"image_0": 4}, "fixed batch of 4"),
        ({"feature_0": 4}, "fixed batch of 4"),
        ({"image_type": 10}, "'images' is not float32"),
        ({"feature_type": 10}, "'features' is not float32"),
    ],
)
@pytest.mark.parametrize("format_", FORMATS)
def test_a_network_that_is_not_the_manifest_s_is_refused(
    format_: str,
    change: dict[str, int],
    message: str,
    make_bundle: MakeBundle,
    tmp_path: Path,
    small: Any,
) -> None:
    models = {"model.onnx": changed(small, **change), "tensorrt.onnx": None, "engine.onnx": None}
    bundle = make_bundle(models=models, preprocessing=EQUAL)
    with pytest.raises(InputError, match=message):
        deploy(DeployOptions(bundle.directory, tmp_path / "out", FORMATS[format_]()))
    assert not (tmp_path / "out").exists()


IR = b"""<?xml version="1.0"?><net><layers>
<layer id="0" type="Parameter"><output><port id="0" precision="FP32" names="images"><dim>-1</dim>
<dim>3</dim><dim>16</dim><dim>8</dim></port></output></layer>
<layer id="1" type="Result" output_names="features"><input><port id="0"><dim>-1</dim><dim>6</dim>
</port></input></layer></layers></net>"""
DAMAGE = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)


def damaged(data: bytes, damage: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(data)
    for place, byte in damage:
        changed[place % len(changed)] = byte
    return bytes(changed[: len(changed) - cut])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(damage=DAMAGE, cut=st.integers(0, 40))
def test_a_damaged_network_is_read_or_refused_but_never_a_crash(
    damage: list[tuple[int, int]], cut: int, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    directory = tmp_path / "bundle"
    bundle = Bundle.open(directory, verify=False) if directory.exists() else make_bundle()
    backup = tmp_path / "whole.onnx"
    if not backup.exists():
        backup.write_bytes((directory / "model.onnx").read_bytes())
    (directory / "model.onnx").write_bytes(damaged(backup.read_bytes(), damage, cut))
    (tmp_path / "net.xml").write_bytes(damaged(IR, damage, cut))
    with contextlib.suppress(InputError, IntegrityError):
        read_model(Source(bundle, None), bundle.file("model.onnx"))
    with contextlib.suppress(InputError):
        read_ir(tmp_path / "net.xml")


def test_the_description_that_is_damaged_above_is_read_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "net.xml").write_bytes(IR)
    tensors = read_ir(tmp_path / "net.xml")
    assert (tensors.input, tensors.input_dims) == ("images", (None, 3, 16, 8))
    assert (tensors.output, tensors.output_dims) == ("features", (None, 6))


@pytest.mark.parametrize(
    ("format_", "fields"),
    [
        ("triton", {"instances": 0}),
        ("triton", {"queue_delay_us": -1}),
        ("deepstream", {"tracker": "iou"}),
        ("deepstream", {"precision": "fp16"}),
        ("deepstream", {"normalisation": "none"}),
        ("deepstream", {"workspace_mib": 0}),
        ("trtexec", {"opt_batch": 0}),
        ("trtexec", {"workspace_mib": 2**21}),
    ],
)
def test_options_out_of_range_are_refused(format_: str, fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(fields))):
        FORMATS[format_](**fields)


@pytest.mark.parametrize("batch", [0, -1, 4097])
def test_a_largest_batch_out_of_range_is_refused(batch: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="max_batch"):
        DeployOptions(tmp_path, tmp_path / "out", DeepStreamOptions(), batch)
