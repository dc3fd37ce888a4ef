"""Where a plan goes, and what its manifest says. Built with the fakes, which prove no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trt_fakes import installed

from edgereid.bundle import Bundle
from edgereid.errors import (
    InputError,
    IntegrityError,
    StorageError,
    UsageError,
)
from edgereid.export.tensorrt.build import build
from edgereid.export.tensorrt.options import BuildOptions

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.usefixtures("orin")
MakeBundle = Callable[..., Bundle]
Contents = Callable[[Path], dict[str, bytes]]


def test_the_manifest_vouches_for_the_plan_and_says_how_it_came_about(
    make_bundle: MakeBundle,
) -> None:
    bundle = make_bundle()
    with installed("10.3"):
        built = build(
            BuildOptions(bundle.directory, command=("edgereid", "build")), {"jetson": {"l4t": "36"}}
        )
    again = Bundle.open(bundle.directory)  # checks every digest
    file = again.file("engine.plan")
    assert (file.role, file.runtime, file.precision) == ("engine", "tensorrt", "int8")
    assert again.manifest.targets == ("tensorrt",)
    said = again.manifest.provenance["plans"]["engine.plan"]
    assert said == built.provenance
    assert said["tensorrt"] == "10.3.0"
    assert said["device"] == {"name": "Orin", "compute_capability": "8.7"}
    assert said["onnx"] == {
        "file": "tensorrt.onnx",
        "sha256": bundle.file("tensorrt.onnx").sha256,
    }
    assert said["flags"] == ["FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"]
    assert {"/gem/Pow", "/norm/ReduceL2"} <= set(said["float_layers"])
    assert said["jetson"] == {"l4t": "36"}
    assert said["command"] == ["edgereid", "build"]
    assert said["timing_cache"] == {"file": "10.3.0-orin-sm87.timing", "state": "new"}
    for name in ("model.onnx", "tensorrt.onnx", "calibration.json"):
        assert again.file(name) == bundle.file(name)


def test_a_second_plan_goes_beside_the_first_and_a_third_only_by_force(
    make_bundle: MakeBundle,
) -> None:
    directory = make_bundle().directory
    with installed("10.3"):
        build(BuildOptions(directory))
        build(BuildOptions(directory, Path("half.plan"), precision="f16"))
        with pytest.raises(StorageError, match="--force"):
            build(BuildOptions(directory))
        build(BuildOptions(directory, precision="f32", overwrite=True))
    manifest = Bundle.open(directory).manifest
    found = {f.name: f.precision for f in manifest.files if f.runtime == "tensorrt"}
    assert found == {"engine.plan": "f32", "half.plan": "f16"}
    assert set(manifest.provenance["plans"]) == set(found)


def test_the_accuracy_of_a_plan_that_is_replaced_is_dropped_and_no_other(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgereid.bundle import replace_accuracy

    directory = make_bundle().directory
    with installed("10.3"):
        built = build(BuildOptions(directory))
        engines = {"engine.plan": {"map": 0.5}, "model.onnx/onnxruntime": {"map": 0.6}}
        replace_accuracy(built.bundle, {"created": "today", "engines": engines})
        built = build(BuildOptions(directory, overwrite=True))
    accuracy = built.bundle.manifest.accuracy
    assert accuracy == {"created": "today", "engines": {"model.onnx/onnxruntime": {"map": 0.6}}}
    assert "former plan's" in capsys.readouterr().err


@pytest.mark.parametrize(
    "out", ["../x.plan", "/x.plan", "x.onnx", "x", ".plan", "a/b.plan", "manifest.json"]
)
def test_a_plan_stays_in_its_bundle_under_a_plans_name(
    out: str, make_bundle: MakeBundle, contents: Contents
) -> None:
    directory = make_bundle().directory
    before = contents(directory)
    with installed("10.3"), pytest.raises(UsageError, match="--out"):
        build(BuildOptions(directory, Path(out), overwrite=True))
    assert contents(directory) == before


def test_of_a_bare_file_a_bundle_is_made_that_vouches_for_all(
    tmp_path: Path, network: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my net.v2.onnx"
    onnx.save(network(), path)
    with installed("10.3"), pytest.raises(UsageError, match="rename it"):
        build(BuildOptions(path))
    path = path.rename(tmp_path / "net.onnx")
    with installed("10.3"):
        built = build(BuildOptions(path))
        assert built.bundle.directory == tmp_path / "net-tensorrt"
        with pytest.raises(StorageError, match="--force"):
            build(BuildOptions(path))
        build(BuildOptions(path, tmp_path / "other", precision="f32"))
    manifest = Bundle.open(tmp_path / "net-tensorrt").manifest
    assert (manifest.network, manifest.feature_size) == ("net", 4)
    assert (manifest.preprocessing.height, manifest.preprocessing.width) == (16, 8)
    assert {f.name: (f.role, f.precision) for f in manifest.files} == {
        "net.onnx": ("float", "f32"),
        "engine.plan": ("engine", "f16"),
    }
    assert "ImageNet's mean" in capsys.readouterr().err


def test_a_bare_file_with_its_tensors_beside_it_is_bundled_with_them(
    tmp_path: Path, network: Callable[..., Any]
) -> None:
    onnx.save(
        network(quantized=True), tmp_path / "x.onnx", save_as_external_data=True,
        location="x.data", size_threshold=0,
    )  # fmt: skip
    with installed("8.6"):
        bundle = build(BuildOptions(tmp_path / "x.onnx")).bundle
    assert {f.name: f.role for f in bundle.manifest.files} == {
        "x.onnx": "data",
        "x.data": "data",
        "engine.plan": "engine",
    }
    with installed("11.4"):
        build(BuildOptions(tmp_path / "x.onnx", tmp_path / "strong"))


def test_a_network_that_is_not_its_bundles_is_refused(make_bundle: MakeBundle) -> None:
    from dataclasses import replace

    from edgereid.bundle import write_manifest

    bundle = make_bundle()
    write_manifest(bundle.directory, replace(bundle.manifest, feature_size=5))
    with installed("10.3"), pytest.raises(InputError, match="its manifest says 16x8 and 5"):
        build(BuildOptions(bundle.directory))


def during_a_build(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something while the builder is at work."""
    from trt_fakes import build_checks

    original = build_checks.monitored

    def monitored(*arguments: Any) -> bool:
        work()
        return original(*arguments)

    monkeypatch.setattr(build_checks, "monitored", monitored)


def test_what_others_wrote_into_the_manifest_during_a_build_is_kept(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgereid.bundle import replace_accuracy

    bundle = make_bundle()
    during_a_build(lambda: replace_accuracy(bundle, {"engines": {"a": 1}}), monkeypatch)
    with installed("10.3"):
        built = build(BuildOptions(bundle.directory))
    assert Bundle.open(bundle.directory).manifest.accuracy == {"engines": {"a": 1}}
    assert built.bundle.file("engine.plan")


def test_a_bundle_that_was_damaged_during_a_build_gets_no_plan(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle()
    during_a_build(lambda: (bundle.directory / "model.onnx").write_bytes(b"x"), monkeypatch)
    with installed("10.3"), pytest.raises(IntegrityError, match=r"model\.onnx"):
        build(BuildOptions(bundle.directory))
    assert not (bundle.directory / "engine.plan").exists()


def test_a_plan_that_somebody_else_wrote_meanwhile_is_left_alone(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle()
    path = bundle.directory / "engine.plan"
    during_a_build(lambda: path.write_bytes(b"theirs"), monkeypatch)
    with installed("10.3"), pytest.raises(StorageError, match="somebody else"):
        build(BuildOptions(bundle.directory))
    assert path.read_bytes() == b"theirs"
