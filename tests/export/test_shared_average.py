"""The mean of the images' extremes of a range that several tensors share."""

from __future__ import annotations

import numpy as np
import pytest

from edgereid.calibration.histogram import Histogram
from edgereid.calibration.scheme import UINT8_AFFINE
from edgereid.calibration.thresholds import Decision, threshold
from edgereid.export.moves import with_shared


@pytest.mark.parametrize("rows", [1, 3])  # a tensor may hold several rows of an image
def test_it_covers_every_tensor_and_is_not_the_mean_over_them(rows: int) -> None:
    values = {"small": np.array([[-1.0, 1.0]] * 4 * rows), "large": np.array([[0.0, 10.0]] * 4)}
    histograms = {}
    for name, some in values.items():
        histograms[name] = Histogram(name)
        histograms[name].add(some.astype(np.float32))
    shared = with_shared(histograms, {"shared/small": ("small", "large")})["shared/small"]
    assert shared.mean_extremes == (-1.0, 10.0)
    found = threshold(shared, Decision("average"), UINT8_AFFINE)
    assert (found.low, found.high) == (-1.0, 10.0)
