"""A plan that was built is opened by edgereid's own runtime: vouched for, with its profile.

With the fakes the embeddings are those of the ONNX file that the plan was given: the float file's
to rounding where weakly typed, to FP16's digits where typed FP16. It says nothing about a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trt_fakes import RELEASES, installed

from edgereid.bundle import Bundle, describe_file, write_manifest
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.errors import IntegrityError
from edgereid.export.tensorrt.build import build
from edgereid.export.tensorrt.options import Batches, BuildOptions
from edgereid.export.uint8_input import with_uint8_input

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("orin")
MakeBundle = Callable[..., Bundle]


def test_a_plan_of_ours_keeps_several_shapes_ready_where_a_profile_is_one_context_s_by_itself(
    make_bundle: MakeBundle,
) -> None:
    images = np.random.default_rng(1).normal(size=(4, 3, 16, 8)).astype(np.float32)
    with installed("8.6") as fake:
        plan = build(BuildOptions(make_bundle().directory, precision="f16")).path
        with open_engine(plan) as engine:
            for _ in range(3):
                for count in (1, 2, 4):
                    engine.run(images[:count])
            assert engine.info.details["cuda_graph"]["batches"] == [1, 2, 4]
            assert fake.alive().count("IExecutionContext") == 3


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("typing", ["auto", "strong"])
def test_a_network_that_takes_bytes_is_built_and_run_likewise(
    release: str, typing: str, make_bundle: MakeBundle, network: Callable[..., Any]
) -> None:
    if (release, typing) == ("8.6", "strong"):
        return  # refused, see test_build.py
    bundle = make_bundle(leave=("tensorrt.onnx", "engine.onnx", "calibration.json"))
    pre = replace(bundle.manifest.preprocessing, input="uint8")
    model = bundle.directory / "model.onnx"
    model.write_bytes(with_uint8_input(network(), pre).SerializeToString())
    files = (describe_file(model, "float", "onnxruntime", "f32"),)
    write_manifest(bundle.directory, replace(bundle.manifest, preprocessing=pre, files=files))
    pixels = np.random.default_rng(2).integers(0, 256, (5, 16, 8, 3), np.uint8)
    with open_engine(model) as engine:
        want = engine.run(pixels)
    with installed(release):
        options = BuildOptions(bundle.directory, typing=typing, batches=Batches(1, 2, 4))
        with open_engine(build(options).path) as engine:
            got = engine.run(pixels)
    assert np.abs(got - want).max() <= 2e-3


def test_the_new_bundle_of_a_bare_file_says_that_it_takes_bytes(
    make_bundle: MakeBundle, network: Callable[..., Any], tmp_path: Path
) -> None:
    pre = replace(make_bundle().manifest.preprocessing, input="uint8")
    model = tmp_path / "bytes.onnx"
    model.write_bytes(with_uint8_input(network(), pre).SerializeToString())
    with installed("10.3"):
        built = build(BuildOptions(model, out=tmp_path / "plan"))
    said = built.bundle.manifest.preprocessing
    assert (said.input, said.height, said.width) == ("uint8", 16, 8)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("typing", ["auto", "strong"])
def test_a_plan_runs_in_its_bundle_and_nowhere_else(
    release: str, typing: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    if (release, typing) == ("8.6", "strong"):
        return  # refused, see test_build.py
    bundle = make_bundle()
    images = np.random.default_rng(1).normal(size=(5, 3, 16, 8)).astype(np.float32)
    with open_engine(bundle.directory / "model.onnx") as engine:
        want = engine.run(images)
    with installed(release) as fake:
        options = BuildOptions(
            bundle.directory, precision="f16", typing=typing, batches=Batches(1, 2, 4)
        )
        plan = build(options).path
        with open_engine(plan) as engine:
            got = engine.run(images)
        assert not fake.allocated()
        alone = tmp_path / "alone.plan"
        alone.write_bytes(plan.read_bytes())
        with pytest.raises(IntegrityError):
            open_engine(alone)
        with open_engine(alone, EngineOptions(trust=True)) as engine:
            np.testing.assert_array_equal(engine.run(images), got)
    typed = typing == "strong" or release == "11.4"
    assert np.abs(got - want).max() <= (2e-3 if typed else 1e-6)
    assert (np.abs(got - want).max() > 0) == typed
