"""A plan that was built is opened by edgereid's own runtime: vouched for, with its profile.

With the fakes the embeddings are those of the ONNX file that the plan was given: the float file's
to rounding where weakly typed, to FP16's digits where typed FP16. It says nothing about a device.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trt_fakes import RELEASES, installed

from edgereid.bundle import Bundle
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.errors import IntegrityError
from edgereid.export.tensorrt.build import build
from edgereid.export.tensorrt.options import Batches, BuildOptions

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("orin")
MakeBundle = Callable[..., Bundle]


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
