"""A whole export of a small network: what the bundle holds, and that failures leave nothing."""

from __future__ import annotations

import argparse
import errno
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from edgereid.bundle import Bundle  # noqa: E402
from edgereid.calibration.table import CalibrationTable  # noqa: E402
from edgereid.cli import export as command  # noqa: E402
from edgereid.engines.open import open_engine  # noqa: E402
from edgereid.errors import InputError, StorageError, UsageError  # noqa: E402
from edgereid.export import int8, pipeline  # noqa: E402
from edgereid.export.options import ExportOptions  # noqa: E402
from edgereid.export.pipeline import export_bundle  # noqa: E402
from edgereid.export.repair.options import RepairOptions  # noqa: E402
from edgereid.images import load_batch  # noqa: E402
from edgereid.models import registry  # noqa: E402
from edgereid.models.dslnet import DSLNet  # noqa: E402


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A registered small network, its weights and a folder of crops."""
    from safetensors.torch import save_file

    registry.names()  # loads the networks, so that the small one is added to them
    spec = registry.InputSpec(height=64, width=32)

    @registry.register("small-dslnet", spec, paper="none")
    def small(num_ids: int | None = None) -> registry.Network:
        return DSLNet(widths=(12, 24, 36, 48), feature_size=32, num_ids=num_ids)

    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    (folder / "crops").mkdir()
    for i in range(40):
        blocks = rng.integers(0, 256, (8, 4, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((48, 96)).save(folder / "crops" / f"{i:02d}.png")
    torch.manual_seed(0)
    network = small()
    network.train()  # batch statistics from the crops: features that differ between images
    spec_ = pipeline.Preprocessing(64, 32)
    images = torch.from_numpy(load_batch(sorted((folder / "crops").iterdir()), spec_))
    with torch.no_grad():
        for _ in range(60):
            network(images)
    save_file(network.state_dict(), str(folder / "w.safetensors"))
    yield folder
    del registry._ENTRIES["small-dslnet"]


@pytest.fixture(scope="module")
def options(work: Path) -> ExportOptions:
    return ExportOptions(
        network="small-dslnet",
        out=work / "bundle",
        int8=True,
        weights=work / "w.safetensors",
        calibration=work / "crops",
        images=16,
        threads=2,
        repairs=RepairOptions(rounding="learned"),
        command=("edgereid", "export", "small-dslnet", "--int8"),
    )


@pytest.fixture(scope="module")
def bundle(options: ExportOptions) -> Bundle:
    return export_bundle(options)


def listing(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_the_bundle_holds_the_float_network_the_table_and_an_engine_per_target(
    bundle: Bundle,
) -> None:
    files = {f.name: (f.role, f.runtime, f.precision) for f in bundle.manifest.files}
    assert files == {
        "weights.safetensors": ("weights", None, None),
        "model.onnx": ("float", "onnxruntime", "f32"),
        "calibration.json": ("calibration", None, None),
        "mended-onnxruntime.npz": ("repairs", None, None),
        "mended-openvino.npz": ("repairs", None, None),
        "engine.onnx": ("engine", "onnxruntime", "int8"),
        "engine.xml": ("engine", "openvino", "int8"),
        "engine.bin": ("data", None, None),
    }
    assert listing(bundle.directory) == {*files, "manifest.json"}
    assert bundle.manifest.targets == ("onnxruntime", "openvino")
    assert bundle.manifest.feature_size == 32


def test_every_engine_of_the_bundle_opens_and_follows_the_float_network(
    bundle: Bundle, work: Path
) -> None:
    images = load_batch(sorted((work / "crops").iterdir())[:9], bundle.manifest.preprocessing)
    with open_engine(bundle.directory / "model.onnx") as engine:
        want = engine.run(images)
    for name in ("engine.onnx", "engine.xml"):
        with open_engine(bundle.directory / name) as engine:
            got = engine.run(images)
        # Untrained and three channels wide, the network magnifies rounding; the order stays.
        assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.7
        assert np.abs(got - want).max() > 1e-4, "the engine runs in 8 bits"


def test_for_arm_everything_is_signed_and_symmetric_and_onnx_runtime_runs_it(
    options: ExportOptions, work: Path
) -> None:
    import onnx

    made = export_bundle(replace(options, out=work / "arm", target="onnxruntime-arm"))
    assert made.manifest.targets == ("onnxruntime-arm",)
    (engine,) = made.find("engine", "onnxruntime")
    graph = onnx.load(str(made.path(engine))).graph
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    points = [constants[n.input[2]] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert len(points) > 10
    assert all(p.dtype == np.int8 and not p.any() for p in points)
    images = load_batch(sorted((work / "crops").iterdir())[:9], made.manifest.preprocessing)
    features = []
    for name in ("model.onnx", engine.name):
        with open_engine(made.directory / name) as opened:
            features.append(opened.run(images).ravel())
    assert np.corrcoef(*features)[0, 1] > 0.7


def test_the_manifest_says_where_everything_comes_from(bundle: Bundle) -> None:
    m = bundle.manifest
    p = m.provenance
    assert p["command"] == ["edgereid", "export", "small-dslnet", "--int8"]
    assert p["weights"]["shipped"] is False
    assert len(p["weights"]["sha256"]) == 64
    assert p["parity"]["model.onnx"]["cosine"] > 0.9999
    assert "crop" not in p, "the network has none"
    assert p["calibration"]["images"] == 16
    assert p["calibration"]["method"] == "best"
    for name in ("engine.onnx", "engine.xml"):
        assert p["int8"][name]["int8_share_of_macs"] > 0.9
        assert m.precision[name]["s1.0.dense.0.0/Conv"] == "int8"
        assert m.precision[name]["s1.0.select.fc1/Conv"] == "int8 weights"
    table = CalibrationTable.load(bundle.directory / "calibration.json")
    assert table.provenance["number"] == 16
    assert table.provenance["model"] == bundle.file("model.onnx").sha256


def test_the_same_export_gives_the_same_files(bundle: Bundle, options: ExportOptions) -> None:
    again = export_bundle(replace(options, out=options.out.with_name("again")))
    assert again.manifest == bundle.manifest


def test_a_float_export_calibrates_nothing(options: ExportOptions) -> None:
    out = options.out.with_name("float")
    plain = export_bundle(replace(options, out=out, int8=False))
    assert listing(out) == {"manifest.json", "model.onnx", "weights.safetensors"}
    assert plain.manifest.precision == {}
    named = export_bundle(replace(options, out=out, int8=False, target="openvino", overwrite=True))
    assert {f.name: f.precision for f in named.find("engine")} == {"engine.xml": "f32"}
    assert named.manifest.provenance["parity"]["engine.xml"]["difference"] < 1e-3


def test_tensorrt_gets_its_model_and_the_honest_word(
    options: ExportOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    out = options.out.with_name("trt")
    made = export_bundle(replace(options, out=out, target="tensorrt"))
    (file,) = (f for f in made.manifest.files if f.precision == "int8")
    assert (file.name, file.role, file.runtime) == ("tensorrt.onnx", "data", None)
    assert "built from it on the device" in capsys.readouterr().err
    assert "engine.onnx" not in listing(out)


def test_an_existing_bundle_is_replaced_only_when_asked(
    bundle: Bundle, options: ExportOptions, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="exists already"):
        export_bundle(options)
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"manifest\.json"):
        export_bundle(replace(options, out=tmp_path, overwrite=True))
    assert listing(tmp_path) == {"precious.txt"}


def disk_full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("module", "name", "fault", "error"),
    [
        (pipeline, "write_manifest", disk_full, StorageError),
        (int8, "write_bytes", disk_full, StorageError),
        (int8, "write_ir", interrupted, KeyboardInterrupt),
    ],
)
def test_a_failure_leaves_nothing_behind(
    options: ExportOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    fault: Any,
    error: type[BaseException],
) -> None:
    monkeypatch.setattr(module, name, fault)
    with pytest.raises(error):
        export_bundle(replace(options, out=tmp_path / "b"))
    assert listing(tmp_path) == set()


def test_an_export_that_does_not_agree_with_the_network_is_refused(
    options: ExportOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgereid.export import torch_onnx

    honest = torch_onnx.reference_features
    monkeypatch.setattr(torch_onnx, "reference_features", lambda *a: honest(*a) * 1.01)
    with pytest.raises(InputError, match=r"model\.onnx does not agree with the network"):
        export_bundle(replace(options, out=tmp_path / "b"))
    assert listing(tmp_path) == set()


def test_weights_with_a_value_that_is_no_number_are_refused(
    options: ExportOptions, work: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(str(work / "w.safetensors"))
    tensors["t3.0.weight"][0, 0] = float("nan")
    save_file(tensors, str(tmp_path / "nan.safetensors"))
    with pytest.raises(InputError, match="NaN"):
        export_bundle(replace(options, out=tmp_path / "b", weights=tmp_path / "nan.safetensors"))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"weights": Path("none.safetensors")}, InputError, "is no file"),
        ({"weights": None}, InputError, "no weights are shipped for small-dslnet"),
        ({"network": "dslnett"}, UsageError, "unknown network"),
        ({"network": "dslnett", "weights": None}, UsageError, "unknown network"),
        ({"calibration": Path("none")}, InputError, "is no folder"),
        ({"percentile": 3.0}, UsageError, r"percentile 3\.0"),
    ],
)
def test_what_cannot_be_exported_is_said(
    options: ExportOptions,
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        export_bundle(replace(options, out=tmp_path / "b", **changes))
    assert listing(tmp_path) == set()


def test_images_are_drawn_when_none_are_named(options: ExportOptions, tmp_path: Path) -> None:
    from edgereid.export.sources import training_images

    with training_images(replace(options, weights=None, calibration=None), 10, 6) as images:
        assert len(set(images.paths)) == 16  # six are there to judge what ten have decided
        assert all(p.is_file() for p in images.paths)
        assert images.source == "drawn by edgereid synth, seed 1000003"
    assert not images.paths[0].exists()


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(words)


def test_the_command_prints_a_table_or_one_json_object(
    options: ExportOptions,
    work: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["edgereid", "export", "small-dslnet"])
    words = ["small-dslnet", "--int8", "--weights", str(options.weights)]
    words += ["--calib", str(work / "crops"), "--calib-images", "8", "--target", "openvino"]
    out = tmp_path / "b"
    assert command.run(arguments(*words, "--out", str(out))) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{out}\n")
    assert "engine.xml" in printed
    assert "openvino" in printed
    assert command.run(arguments(*words, "--out", str(out), "--force", "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bundle"] == str(out)
    assert report["manifest"]["targets"] == ["openvino"]


def test_flags_become_options() -> None:
    got = command.options_of(arguments("dslnet", "--int8", "--method", "entropy", "--seed", "3"))
    assert (got.out, got.method, got.seed, got.images) == (Path("dslnet-int8"), "entropy", 3, 256)
    assert got.weights is None
    assert got.calibration is None
