"""A tiny dataset in the Market-1501 layout and a tiny network to train on it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgereid.models import registry
from edgereid.train import recipe as recipes

DRIVER = Path(__file__).with_name("tiny_network.py")

RECIPE = {
    "name": "tiny",
    "network": "tiny",
    "epochs": 3,
    "sizes": [{"start": 0.0, "height": 32, "width": 16}],
    "identities": 3,
    "images": 2,
    "optimizer": "amsgrad",
    "lr": 0.002,
    "warmup_epochs": 1,
    "label_smoothing": 0.1,
    "triplet": "e-trihard",
    "clip_norm": 5.0,
    "augmentation": {"flip": 0.5, "pad": 0.05, "erase": 0.3, "brightness": 0.1},
    "seed": 7,
}


def draw(folder: Path, pids: range, images: int) -> None:
    """Every person has a colour of their own above and below."""
    folder.mkdir(parents=True)
    for pid in pids:
        colours = np.random.default_rng(pid).integers(40, 216, (2, 1, 3))
        for k in range(images):
            noise = np.random.default_rng((pid, k)).normal(0, 12, (32, 16, 3))
            pixels = np.repeat(colours, [16, 16], axis=0) + noise
            name = f"{pid:04d}_c{k % 2 + 1}s1_{k:06d}_01.jpg"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name, quality=95)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 people to train on, 6 others to find."""
    root = tmp_path_factory.mktemp("data") / "market"
    draw(root / "bounding_box_train", range(1, 7), 5)
    draw(root / "query", range(11, 17), 1)
    draw(root / "bounding_box_test", range(11, 17), 4)
    return root


@pytest.fixture(autouse=True)
def tiny_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry knows ``tiny`` during a test."""
    build = runpy.run_path(str(DRIVER))["tiny"]
    spec = registry.InputSpec(32, 16)
    monkeypatch.setitem(registry._ENTRIES, "tiny", registry.Entry("tiny", build, spec, "none"))


@pytest.fixture
def recipe() -> recipes.Recipe:
    return recipes.from_json(RECIPE)


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(RECIPE))
    return path


@pytest.fixture
def driver() -> Path:
    """A script that is ``edgereid`` with the tiny network registered."""
    return DRIVER
