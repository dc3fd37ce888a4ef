"""Engines with a known law, and small datasets of crops that they can tell apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.engines.base import Engine, EngineInfo, TensorSpec
from edgereid.images import Preprocessing

SIZE = (16, 8)
PREPROCESSING = Preprocessing(*SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

Law = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def stripes(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean colour of the left and right half of four stripes: (N, 24)."""
    n = len(batch)
    return np.ascontiguousarray(batch.reshape(n, 3, 4, 4, 2, 4).mean(axis=(3, 5)).reshape(n, 24))


def of_the_batch(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """An engine that quantises by the range of the whole batch."""
    step = np.float32(batch.max() / 16)
    return np.round(stripes(batch) / step) * step


def of_the_place(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """An engine whose rounding differs from place to place."""
    places = np.arange(len(batch), dtype=np.float32)[:, None]
    return stripes(batch) + np.float32(1e-5) * places


class LawEngine(Engine):
    """Runs ``law`` and remembers the batches it saw."""

    def __init__(self, law: Law = stripes, batch: int | None = None) -> None:
        super().__init__()
        self.inputs = (TensorSpec("images", (batch, 3, *SIZE)),)
        self.outputs = (TensorSpec("features", (batch, 24)),)
        self.info = EngineInfo("onnxruntime", "f32", 2, "1.0")
        self.law, self.seen = law, list[NDArray[np.float32]]()

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(batch.copy())
        return self.law(batch)

    @property
    def images(self) -> int:
        return sum(len(b) for b in self.seen)


LAWS: dict[str, Law] = {
    "stripes": stripes, "of the batch": of_the_batch, "of the place": of_the_place
}  # fmt: skip


@pytest.fixture
def law_engine() -> type[LawEngine]:
    return LawEngine


@pytest.fixture
def laws() -> dict[str, Law]:
    return LAWS


@pytest.fixture
def small() -> Preprocessing:
    """The preprocessing of the engines here: 16 x 8, values 0 to 1."""
    return PREPROCESSING


@pytest.fixture
def crops(tmp_path: Path) -> list[Path]:
    """25 different crops of several sizes."""
    rng = np.random.default_rng(3)
    folder = tmp_path / "crops"
    folder.mkdir()
    paths = []
    for i in range(25):
        pixels = rng.integers(0, 256, size=(12 + i % 5, 7 + i % 3, 3), dtype=np.uint8)
        paths.append(folder / f"{i:02}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def draw_dataset(folder: Path, persons: int = 6, shots: int = 3) -> ReidDataset:
    """Persons of colours that are hard to tell apart (what ranks them decides the metrics), seen by
    two cameras, and one that nobody can match."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)

    def draw(subset: str, name: str, pid: int, camid: int) -> ImageRecord:
        colours = np.random.default_rng(pid).integers(96, 160, size=(4, 2, 3))
        pixels = np.repeat(np.repeat(colours, 4, axis=0), 4, axis=1)
        noisy = np.clip(pixels + rng.normal(0, 90, size=pixels.shape), 0, 255).astype(np.uint8)
        path = folder / subset / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noisy).save(path)
        return ImageRecord(path, pid, camid)

    query = [draw("query", f"q{pid}", pid, 1) for pid in range(1, persons + 1)]
    query.append(draw("query", "lonely", 99, 1))
    gallery = [
        draw("gallery", f"g{pid}_{k}", pid, 2)
        for pid in range(1, persons + 1)
        for k in range(shots)
    ]
    return ReidDataset("tiny", folder, (), tuple(query), tuple(gallery))


@pytest.fixture
def dataset(tmp_path: Path) -> ReidDataset:
    return draw_dataset(tmp_path / "data")
