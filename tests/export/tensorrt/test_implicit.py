"""INT8 from a calibration cache, with the fakes: releases up to 10, float32 files, a DLA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trt_fakes import RELEASES, installed
from trt_fakes.plan import unpack

from edgereid.bundle import Bundle
from edgereid.errors import InputError, UsageError
from edgereid.export.tensorrt.build import build
from edgereid.export.tensorrt.calibration_cache import CalibrationCache
from edgereid.export.tensorrt.implicit import calibrate
from edgereid.export.tensorrt.options import BuildOptions

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.usefixtures("orin")
MakeBundle = Callable[..., Bundle]
WEAK_RELEASES = [r for r in RELEASES if not r.startswith("11")]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "x.cache"
    CalibrationCache("TRT-7103-EntropyCalibration2", {"images": 0.02}).save(path)
    return path


@pytest.mark.parametrize("release", WEAK_RELEASES)
def test_a_float_network_becomes_int8_without_images(
    release: str, cache: Path, make_bundle: MakeBundle
) -> None:
    with installed(release) as fake:
        built = build(BuildOptions(make_bundle().directory, calibration_cache=cache, dla=0))
        assert not fake.alive()
    plan, model = unpack(built.path.read_bytes())
    assert {"INT8", "FP16", "OBEY_PRECISION_CONSTRAINTS"} <= set(plan.flags)
    got = {name: layer.precision for layer in plan.layers for name in layer.nodes}
    assert (got["/conv/Conv"], got["/gem/Pow"]) == ("Int8", "Float")
    operators = {node.op_type for node in onnx.load_model_from_string(model).graph.node}
    assert "QuantizeLinear" not in operators
    assert built.provenance["onnx"]["file"] == "model.onnx"
    assert built.provenance["calibration_cache"] == "TRT-7103-EntropyCalibration2"
    assert built.bundle.file("engine.plan").precision == "int8"


@pytest.mark.parametrize("release", WEAK_RELEASES)
def test_the_builder_reads_the_scales_under_its_own_releases_header(
    release: str, cache: Path
) -> None:
    with installed(release) as fake:
        builder: Any = fake.trt.Builder(fake.trt.Logger())
        config = builder.create_builder_config()
        calibrator: Any = calibrate(fake.trt, config, CalibrationCache.load(cache))
        first, *rest = calibrator.read_calibration_cache().decode().splitlines()
        assert calibrator.get_batch(["images"]) is None
        numbers = [int(n) for n in fake.world.api.version.split(".")[:3]]
    assert rest == ["images: 3ca3d70a"]
    thousand = 1000 if release == "8.6" else 10_000
    number = numbers[0] * thousand + numbers[1] * 100 + numbers[2]
    assert first == f"TRT-{number}-EntropyCalibration2"


def test_release_11_says_that_it_takes_none(cache: Path, make_bundle: MakeBundle) -> None:
    directory = make_bundle().directory
    with installed("11.4"), pytest.raises(UsageError, match=r"no calibration caches|Q/DQ"):
        build(BuildOptions(directory, calibration_cache=cache))


def test_it_goes_with_no_qdq_no_strong_typing_and_no_damaged_file(
    cache: Path, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    directory = make_bundle().directory
    with installed("10.3"):
        with pytest.raises(UsageError, match="float32 file"):
            build(BuildOptions(directory / "tensorrt.onnx", calibration_cache=cache))
        with pytest.raises(UsageError, match="weak typing"):
            build(BuildOptions(directory, calibration_cache=cache, typing="strong"))
        cache.write_bytes(b"TRT-8603-EntropyCalibration2\nx: zz\n")
        with pytest.raises(InputError, match="line 2"):
            build(BuildOptions(directory, calibration_cache=cache))
    assert not (directory / "engine.plan").exists()
