"""A small network that tells colours apart, its training images in Market-1501's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")

from tests.export.conftest import Builder  # noqa: E402


@pytest.fixture(scope="session")
def network() -> Any:
    """Stem, a pointwise -> depthwise pair, a residual sum of two convolutions, a linear head."""
    b = Builder()
    stem = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 8, 3))
    pool = b.op("MaxPool", "pool", stem, kernel_shape=[2, 2], strides=[2, 2])
    wide = b.op("Relu", "dw.relu", b.conv("dw", b.conv("pw", pool, 8, 8), 8, 8, 3, group=8))
    both = b.op("Add", "sum", b.conv("expand", wide, 8, 12), b.conv("short", pool, 8, 12))
    last = b.op("Relu", "last.relu", b.conv("last", b.op("Relu", "sum.relu", both), 12, 10))
    flat = b.op("ReduceMean", "flat", last, axes=[2, 3], keepdims=0)
    weight = b.constant("fc.weight", b.rng.normal(size=(6, 10)).astype(np.float32))
    b.op("Gemm", "features", flat, weight, transB=1)
    return b.model()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 people, each with a colour of its own, by three cameras; half are the test's."""
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(3)
    for folder in ("bounding_box_train", "bounding_box_test", "query"):
        (root / folder).mkdir()
    for pid in range(1, 25):
        colour = rng.integers(0, 256, 3)
        folder = "bounding_box_train" if pid <= 12 else "bounding_box_test"
        for camera in (1, 2, 3):
            for shot in (1, 2):
                pixels = np.clip(colour + rng.normal(0, 25, (32, 16, 3)), 0, 255).astype(np.uint8)
                name = f"{pid:04d}_c{camera}s1_{shot:06d}_00.png"
                Image.fromarray(pixels).save((root / folder / name).with_suffix(".jpg"))
                if pid > 12 and shot == 1:
                    Image.fromarray(pixels).save((root / "query" / name).with_suffix(".jpg"))
    return root


@pytest.fixture(scope="session")
def model_file(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    onnx.save(network, str(path))
    return path
