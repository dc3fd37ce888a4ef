"""The tracker's ReID section: parsed as YAML, and its arithmetic done as DeepStream documents it,
``netScaleFactor * (x - offsets)``, against edgereid's own preprocessing. No DeepStream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgereid.bundle import Bundle
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.errors import InputError, UsageError
from edgereid.export.deploy.deepstream import number
from edgereid.export.deploy.normalisation import fold_normalisation, one_factor
from edgereid.export.deploy.options import DeepStreamOptions, DeployOptions
from edgereid.export.deploy.write import Deployment, deploy
from edgereid.images import Preprocessing, normalise

onnx = pytest.importorskip("onnx")
yaml = pytest.importorskip("yaml")
MakeBundle = Callable[..., Bundle]
EQUAL = Preprocessing(16, 8, mean=(0.5, 0.4, 0.3), std=(0.25, 0.25, 0.25))
BGR = Preprocessing(16, 8, "BGR", mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4))
#: The fields of the section in NVIDIA's own tracker configurations, DeepStream 6 to 7.1.
DOCUMENTED = {
    "reidType",
    "batchSize",
    "workspaceSize",
    "reidFeatureSize",
    "reidHistorySize",
    "inferDims",
    "networkMode",
    "inputOrder",
    "colorFormat",
    "offsets",
    "netScaleFactor",
    "keepAspc",
    "useVPICropScaler",
    "addFeatureNormalization",
    "minVisibility4GalleryUpdate",
    "outputReidTensor",
    "onnxFile",
    "tltEncodedModel",
    "tltModelKey",
    "modelEngineFile",
    "calibrationTableFile",
}


def write(bundle: Path, out: Path, max_batch: int = 32, **own: Any) -> Deployment:
    return deploy(DeployOptions(bundle, out, DeepStreamOptions(**own), max_batch))


def section_of(out: Path) -> dict[str, Any]:
    (reid,) = yaml.safe_load((out / "reid_section.yml").read_text()).values()
    assert isinstance(reid, dict)
    return reid


def pixels(count: int = 4) -> NDArray[np.uint8]:
    """Crops in RGB (N, 16, 8, 3), every value from 0 to 255 among them."""
    values = np.random.default_rng(3).integers(0, 256, (count, 16, 8, 3), dtype=np.uint8)
    values[0].flat[:256] = np.arange(256)
    return values


def fed_by_deepstream(section: dict[str, Any], crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the tracker computes from crops, from the section alone, in float32."""
    ordered = crops[..., ::-1] if section["colorFormat"] else crops
    offsets = np.asarray(section["offsets"], np.float32)
    scaled = np.float32(section["netScaleFactor"]) * (ordered.astype(np.float32) - offsets)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


def features(model: Path, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    pytest.importorskip("onnxruntime")
    with open_engine(model, EngineOptions(threads=1)) as engine:
        return engine.run(batch)


def test_every_number_of_the_section_is_the_manifest_s(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(preprocessing=EQUAL)
    write(bundle.directory, tmp_path / "ds", 64, workspace_mib=512)
    section = section_of(tmp_path / "ds")
    assert set(section) <= DOCUMENTED
    expected = {
        "reidType": 2,
        "batchSize": 64,
        "workspaceSize": 512,
        "reidFeatureSize": 6,
        "inferDims": [3, 16, 8],
        "networkMode": 1,
        "inputOrder": 0,
        "colorFormat": 0,
        "keepAspc": 0,
        "addFeatureNormalization": 1,
        "onnxFile": "model.onnx",
        "modelEngineFile": "model.onnx_b64_gpu0_fp16.engine",
    }
    assert section.items() >= expected.items()
    assert section["offsets"] == pytest.approx([127.5, 102.0, 76.5])
    assert section["netScaleFactor"] == pytest.approx(1 / (255 * 0.25), rel=1e-8)


def test_with_one_std_the_tracker_feeds_what_edgereid_feeds(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(preprocessing=EQUAL)
    written = write(bundle.directory, tmp_path / "ds")
    fed = fed_by_deepstream(section_of(tmp_path / "ds"), pixels())
    np.testing.assert_allclose(fed, normalise(pixels(), EQUAL), atol=2e-6)
    original = (bundle.directory / "model.onnx").read_bytes()
    assert (tmp_path / "ds" / "model.onnx").read_bytes() == original
    assert not any("off by" in note for note in written.notes)


@pytest.mark.parametrize("preprocessing", [Preprocessing(16, 8), BGR, EQUAL])
@pytest.mark.parametrize("precision", ["f16", "int8"])
def test_folded_normalisation_gives_the_features_of_edgereid_s_own_preprocessing_to_the_bit(
    preprocessing: Preprocessing, precision: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(preprocessing=preprocessing)
    out = tmp_path / "ds"
    write(bundle.directory, out, normalisation="fold", precision=precision)
    section = section_of(out)
    assert (section["netScaleFactor"], section["offsets"]) == (1.0, [0.0, 0.0, 0.0])
    source = {"f16": "model.onnx", "int8": "tensorrt.onnx"}[precision]
    ours = features(bundle.directory / source, normalise(pixels(), preprocessing))
    theirs = features(out / section["onnxFile"], fed_by_deepstream(section, pixels()))
    np.testing.assert_array_equal(theirs, ours)
    onnx.checker.check_model(onnx.load(str(out / "model.onnx")))


def test_different_std_are_refused_unless_folded_or_accepted(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle()
    with pytest.raises(UsageError, match=r"--fold-normalisation.*off by up to 1\.10%"):
        write(bundle.directory, tmp_path / "ds")
    assert not (tmp_path / "ds").exists()


def test_the_error_of_one_factor_is_the_one_that_is_told(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(preprocessing=BGR)
    written = write(bundle.directory, tmp_path / "ds", normalisation="approximate")
    fed = fed_by_deepstream(section_of(tmp_path / "ds"), pixels())
    right = normalise(pixels(), BGR)
    told = np.abs(right) > 0.01
    worst = np.abs(fed[told] / right[told] - 1).max()
    assert worst == pytest.approx(1 / 3, rel=1e-4)  # (0.4 - 0.2) / (0.4 + 0.2)
    assert any("off by up to 33.33%" in note for note in written.notes)
    assert "33.33%" in (tmp_path / "ds" / "reid_section.yml").read_text()


STD = st.floats(1e-3, 10.0)


@given(st.tuples(STD, STD, STD), st.floats(0.5, 2.0))
def test_no_other_factor_has_a_smaller_worst_error(
    std: tuple[float, float, float], other: float
) -> None:
    scaling = one_factor(Preprocessing(16, 8, std=std))

    def worst(factor: float) -> float:
        return max(abs(factor * 255 * s - 1) for s in std)

    assert worst(scaling.factor) == pytest.approx(scaling.error, abs=1e-12)
    assert worst(scaling.factor * other) >= scaling.error - 1e-12
    assert (scaling.error == 0) == (len(set(std)) == 1)


@given(st.floats(-1e6, 1e6, width=32))
def test_a_number_reads_back_as_the_same_float32_and_as_a_number(value: float) -> None:
    read = yaml.safe_load(number(value))
    assert isinstance(read, float)
    assert np.float32(read) == np.float32(value)


def test_the_tracker_and_the_precision_are_told_in_its_own_numbers(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(preprocessing=BGR)
    own = {"tracker": "nvdeepsort", "precision": "int8", "normalisation": "fold"}
    write(bundle.directory, tmp_path / "ds", **own)
    section = section_of(tmp_path / "ds")
    assert (section["reidType"], section["networkMode"], section["colorFormat"]) == (1, 2, 1)
    assert "NvDeepSORT" in (tmp_path / "ds" / "reid_section.yml").read_text()


def test_a_mean_with_the_mirror_image_is_told_to_be_left_out(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(preprocessing=EQUAL, flip=True)
    assert any("mirror" in note for note in write(bundle.directory, tmp_path / "ds").notes)


@pytest.mark.parametrize(
    ("file", "fields", "own", "message"),
    [
        ("", {"distance": "euclidean"}, {}, "by euclidean distance"),
        ("", {"models": {"tensorrt.onnx": None}}, {"precision": "int8"}, "--target tensorrt"),
        ("", {"models": {"model.onnx": None}}, {}, "no float network"),
        ("engine.onnx", {}, {}, "quantized for ONNX Runtime"),
        ("tensorrt.onnx", {}, {"precision": "f16"}, "cannot be built in f16"),
        ("model.onnx", {}, {"precision": "int8"}, "cannot be built in int8"),
        ("engine.plan", {"plan": b"x"}, {}, "no ONNX file"),
    ],
)
def test_what_deepstream_cannot_use_is_refused_by_name(
    file: str,
    fields: dict[str, Any],
    own: dict[str, Any],
    message: str,
    make_bundle: MakeBundle,
    tmp_path: Path,
) -> None:
    bundle = make_bundle(preprocessing=EQUAL, **fields)
    with pytest.raises((InputError, UsageError), match=message):
        write(bundle.directory / file, tmp_path / "ds", **own)
    assert not (tmp_path / "ds").exists()


def test_folding_twice_is_refused(small: Any) -> None:
    once = fold_normalisation(small, EQUAL)
    assert [i.name for i in once.graph.input] == ["pixels"]
    assert [i.name for i in small.graph.input] == ["images"]
    with pytest.raises(InputError, match="folded before"):
        fold_normalisation(once, EQUAL)
