"""Which engines a page compares, where their features come from, and what its words say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgereid.bundle import describe_file, write_manifest
from edgereid.engines.base import Engine, EngineInfo, EngineOptions, TensorSpec
from edgereid.errors import MissingRuntimeError, UsageError
from edgereid.images import Preprocessing
from edgereid.manifest import Manifest
from edgereid.show import run
from edgereid.show.options import ShowOptions
from edgereid.show.run import choose_targets, show

SMALL = Preprocessing(8, 4)
FILES = {
    "weights.safetensors": ("weights", None, "f32"),
    "model.onnx": ("float", None, None),
    "engine.xml": ("engine", "openvino", "int8"),
    "engine.onnx": ("engine", "onnxruntime", "int8"),
    "engine.plan": ("engine", "tensorrt", "int8"),
    "half.plan": ("engine", "tensorrt", "f16"),
    "full.plan": ("engine", "tensorrt", "f32"),
    "odd.xml": ("engine", "openvino", "f16"),
}


def bundle(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(name.encode())
    files = tuple(describe_file(folder / name, *FILES[name]) for name in names)
    write_manifest(folder, Manifest("dslnet", 12, SMALL, files))
    return folder


def options(*paths: Path, **changes: Any) -> ShowOptions:
    folder = paths[0].parent
    return ShowOptions(paths, folder / "data", folder / "lists.html", **changes)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (tuple(FILES), [("onnxruntime", "f32"), ("openvino", "int8")]),
        (("weights.safetensors", "engine.onnx"), [("eager", "f32"), ("onnxruntime", "int8")]),
        (("model.onnx",), [("onnxruntime", "f32")]),
        (("engine.plan",), [("tensorrt", "int8")]),
        (("full.plan", "half.plan"), [("tensorrt", "f32"), ("tensorrt", "f16")]),
    ],
)
def test_of_a_bundle_the_best_known_pair_is_compared(
    tmp_path: Path, names: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    sides = choose_targets(options(bundle(tmp_path / "b", *names)))
    assert [(side[0].runtime, side[0].stated_precision) for side in sides] == expected


def test_a_bundle_without_an_engine_that_is_known_here_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has only OpenVINO FP16 \(b/odd.xml\): name an engine"):
        choose_targets(options(bundle(tmp_path / "b", "odd.xml")))


def test_the_folder_of_a_training_run_is_its_final_weights(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "weights.safetensors").write_bytes(b"weights")
    ((target,),) = choose_targets(options(tmp_path / "run"))
    assert target.path == tmp_path / "run" / "weights.safetensors"


class MeanColours(Engine):
    """Mean colours of four stripes; counts what it runs."""

    images = 0

    def __init__(self, runtime: str) -> None:
        super().__init__()
        self.inputs = (TensorSpec("images", (None, 3, 8, 4)),)
        self.outputs = (TensorSpec("features", (None, 12)),)
        self.info = EngineInfo(runtime, "f32", 1, "1.0")

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        MeanColours.images += len(batch)
        return np.ascontiguousarray(batch.reshape(len(batch), 3, 4, 8).mean(3).reshape(-1, 12))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three persons by two cameras as a CSV; ONNX Runtime and OpenVINO are "not installed"."""
    rows = ["path,pid,camid,split"]
    (tmp_path / "data").mkdir()
    for pid in (1, 2, 3):
        for camid, split in ((1, "query"), (2, "gallery")):
            pixels = np.random.default_rng(10 * pid + camid).integers(0, 256, (16, 8, 3))
            pixels[:8] = 60 * pid
            Image.fromarray(np.uint8(pixels)).save(tmp_path / "data" / f"{pid}_{camid}.png")
            rows.append(f"{pid}_{camid}.png,{pid},{camid},{split}")
    (tmp_path / "data" / "people.csv").write_text("\n".join(rows) + "\n")

    def opener(path: Path, engine_options: EngineOptions, runtime: str | None) -> Engine:
        if runtime in ("onnxruntime", "openvino"):
            raise MissingRuntimeError(f"{runtime} is not installed.")
        return MeanColours(runtime or "eager")

    monkeypatch.setattr(run, "open_with_runtime", opener)
    MeanColours.images = 0
    return tmp_path / "data"


def test_what_is_not_installed_gives_way_to_the_next_best(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = show(options(bundle(tmp_path / "b", *FILES)))
    assert [e.file for e in shown.engines] == ["b/weights.safetensors", "b/engine.plan"]
    assert "ONNX Runtime FP32 (b/model.onnx) is left out: onnxruntime" in capsys.readouterr().err
    only = bundle(tmp_path / "c", "model.onnx")
    with pytest.raises(MissingRuntimeError, match="openvino is not installed"):
        show(options(only))


def test_features_come_from_the_cache_and_go_there(tmp_path: Path, data: Path) -> None:
    asked = options(bundle(tmp_path / "b", "weights.safetensors"), cache=tmp_path / "cache")
    shown = [show(asked), show(asked)]
    assert shown[0].engines == shown[1].engines
    first = 5 * 16  # a batch to warm up, three to ask whether places matter, one of images
    assert MeanColours.images == first + 16  # to warm up


@pytest.mark.parametrize("name", ["model.onnx", "engine.plan"])
def test_maps_without_weights_are_refused_before_an_image_is_run(
    tmp_path: Path, data: Path, name: str
) -> None:
    for path in (bundle(tmp_path / "b", name), tmp_path / "b" / name):
        with pytest.raises(UsageError):
            show(options(path, maps=True))
    assert MeanColours.images == 0


def test_the_page_says_by_whose_precision_it_is_sorted(tmp_path: Path, data: Path) -> None:
    both = bundle(tmp_path / "b", "weights.safetensors", "engine.plan")
    show(options(both, sort="best"))
    text = (tmp_path / "lists.html").read_text(encoding="utf-8")
    assert "highest average precision (TensorRT INT8) first" in text
    assert "feature map" not in text  # there is none on the page


def test_a_name_that_is_no_utf8_is_escaped(tmp_path: Path, data: Path) -> None:
    (data / "people.csv").rename(data / "na\udcffme.csv")
    show(options(bundle(tmp_path / "b", "weights.safetensors")))
    assert "na\\udcffme" in (tmp_path / "lists.html").read_text(encoding="utf-8")
