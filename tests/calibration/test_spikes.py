"""Tensors at which single images reach far beyond the others are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgereid.calibration.histogram import Histogram
from edgereid.calibration.spikes import LEAST_IMAGES, SPIKE, spike, spikes, spikes_line

RNG = np.random.default_rng(0)


def histogram(values: np.ndarray, name: str = "t") -> Histogram:
    h = Histogram(name)
    h.add(values.astype(np.float32))
    return h


@pytest.mark.parametrize("sign", [1, -1])
def test_the_ratio_is_that_of_the_largest_image_to_the_mean_image(sign: int) -> None:
    values = sign * RNG.uniform(0, 1, (40, 3, 5))
    values[7] *= 30
    peaks = (sign * values).max(axis=(1, 2)).astype(np.float32).astype(float)
    assert spike(histogram(values)) == pytest.approx(peaks.max() / peaks.mean(), rel=1e-9)


def test_the_side_that_reaches_farther_counts() -> None:
    values = RNG.uniform(-1, 1, (64, 50))
    values[3, 0] = -100  # beside lows near -1
    lows = -values.min(axis=1)
    assert spike(histogram(values)) == pytest.approx(100 / lows.mean(), rel=1e-6)


def test_usual_images_zeros_and_too_few_images_are_not_spikes() -> None:
    usual = RNG.standard_normal((256, 40)) * RNG.uniform(0.3, 3, (256, 1))
    zeros = np.zeros((64, 4))
    few = np.ones((LEAST_IMAGES - 1, 4))
    few[0] = 1e6
    assert spikes([histogram(usual), histogram(zeros), histogram(few)]) == {}


def test_calibration_says_it_and_keeps_it_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from edgereid.calibration.thresholds import Decision
    from edgereid.export.int8 import calibrate
    from edgereid.export.policy import OPENVINO
    from tests.export.conftest import Builder

    b = Builder()
    first = b.op("Relu", "first.relu", b.conv("first", "images", 3, 8))
    b.op("Flatten", "features", b.op("GlobalAveragePool", "mean", b.conv("second", first, 8, 6)))
    onnx.save(b.model(), str(tmp_path / "model.onnx"))
    images = RNG.standard_normal((LEAST_IMAGES, 3, 16, 8)).astype(np.float32)

    def table(batch: np.ndarray) -> dict[str, object]:
        made = calibrate(tmp_path / "model.onnx", [batch], (OPENVINO,), Decision("mse"), {}, 1)
        return dict(made.provenance)

    assert "spikes" not in table(images)
    assert "magnifies" not in capsys.readouterr().err
    images[5] *= 100
    found = table(images)["spikes"]
    assert isinstance(found, dict)
    assert "first.relu" in found
    assert all(ratio >= SPIKE for ratio in found.values())
    said = capsys.readouterr().err
    assert spikes_line(found) in said
    assert f"{len(found)} of the tensors" in said
