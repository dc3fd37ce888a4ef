"""A project of a user: a small data set drawn as colours, networks that see them or do not."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

# pytester forgets what a run within imported: what is imported here need not be imported each time.
import edgereid.bench.gate.report
import edgereid.bench.gate.run
import edgereid.data.layouts
import edgereid.engines.open  # noqa: F401

PERSONS, SHOTS = 40, 2
save_network = runpy.run_path(str(Path(__file__).with_name("colours_network.py")))["save_network"]


def _draw(folder: Path) -> None:
    """Market-1501 layout; a person is six colours, which noise blurs."""
    rng = np.random.default_rng(5)
    for subset, camera, shots in (
        ("bounding_box_train", 1, 1),  # a data set has some; nobody looks at them
        ("query", 1, 1),
        ("bounding_box_test", 2, SHOTS),
    ):
        (folder / subset).mkdir(parents=True)
        for pid in range(1, PERSONS + 1):
            colours = np.random.default_rng(pid).integers(60, 196, size=(3, 2, 3))
            for shot in range(shots):
                pixels = np.kron(colours, np.ones((8, 8, 1))) + rng.normal(0, 18, size=(24, 16, 3))
                name = f"{pid:04}_c{camera}s1_{shot:06}_00.png"
                image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
                image.save(folder / subset / name.replace(".png", ".jpg"), quality=95)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, reference.onnx, same.onnx, blind.onnx and slight.onnx."""
    folder = tmp_path_factory.mktemp("material")
    _draw(folder / "data")
    save_network(folder / "reference.onnx")
    save_network(folder / "same.onnx", 1e-4)
    save_network(folder / "slight.onnx", 0.03)
    save_network(folder / "blind.onnx", 3.0)
    return folder


@pytest.fixture
def project(pytester: pytest.Pytester, material: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a test file and runs pytest on it with the plugin, whether it is installed or not."""
    for item in material.iterdir():
        (pytester.path / item.name).symlink_to(item)
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "cache"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others take a second a run

    def run(body: str, *flags: str, ini: str = "") -> pytest.RunResult:
        pytester.makepyprojecttoml(f"[tool.pytest.ini_options]\n{ini}")
        pytester.makepyfile(body)
        plugins = ("-p", "edgereid.pytest_plugin", "-p", "no:cacheprovider")
        return pytester.runpytest_inprocess(*plugins, "-rA", *flags)

    return run
