"""Agreement, preprocessing and batch sizes, with engines of a known law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgereid.bench.gate.agreement import (
    agreement,
    alternatives,
    centred_cosines,
    preprocessing_check,
)
from edgereid.bench.gate.batches import batch_check
from edgereid.bench.gate.crops import crops_of
from edgereid.engines.base import Engine, EngineInfo, TensorSpec
from edgereid.errors import InputError
from edgereid.evaluation.extract import Extraction, extract_paths
from edgereid.evaluation.subject import Subject
from edgereid.images import Preprocessing

Floats = NDArray[np.float32]
Law = Callable[[Floats], Floats]
SIZE = (16, 8)
OWN = Preprocessing(*SIZE)


def stripes(batch: Floats) -> Floats:
    """Mean colour of eight stripes: (N, 24), not linear in the colours."""
    n = len(batch)
    means = batch.reshape(n, 3, 8, -1).mean(axis=3).reshape(n, 24)
    return np.ascontiguousarray(np.tanh(means + 0.3), dtype=np.float32)


def by_range_of_the_batch(batch: Floats) -> Floats:
    step = np.float32(np.abs(batch).max() / 6)
    return np.round(stripes(batch) / step) * step


def by_place(batch: Floats) -> Floats:
    """Every second image of a batch comes out a little otherwise."""
    found = stripes(batch)
    found[1::2] += np.float32(0.05) * found[1::2, ::-1]
    return found


def last_bits(batch: Floats) -> Floats:
    """What float rounding does: another size, other last bits."""
    return stripes(batch) * np.float32(1 + 1e-7 * len(batch))


class LawEngine(Engine):
    def __init__(self, law: Law = stripes, batch: int | None = None) -> None:
        super().__init__()
        self.inputs = (TensorSpec("images", (batch, 3, *SIZE)),)
        self.outputs = (TensorSpec("features", (batch, 24)),)
        self.info = EngineInfo("onnxruntime", "f32", 1, "1")
        self.law = law

    def _run(self, batch: Floats) -> Floats:
        return self.law(batch)


@pytest.fixture
def crops(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for i in range(30):
        colours = rng.integers(0, 256, size=(8, 1, 3))
        pixels = np.repeat(np.repeat(colours, 2, axis=0), 8, axis=1).astype(np.uint8)
        paths.append(tmp_path / f"{i:02}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.mark.parametrize(
    ("law", "precision", "verdict"),
    [
        (stripes, "f32", "pass"),
        (last_bits, "f32", "pass"),
        (by_range_of_the_batch, "int8", "fail"),
        (by_place, "int8", "fail"),
        (by_place, "f32", "fail"),
    ],
)
def test_an_embedding_may_not_depend_on_its_batch(law: Law, precision: str, verdict: str) -> None:
    images = np.random.default_rng(1).normal(size=(20, 3, *SIZE)).astype(np.float32)
    images *= np.linspace(0.3, 2, 20, dtype=np.float32)[:, None, None, None]
    found = batch_check(Subject(LawEngine(law), OWN), images, 8, precision)
    assert found.verdict == verdict, found


def test_an_engine_of_fixed_batch_size_is_fed_filled_up_batches() -> None:
    images = np.random.default_rng(1).normal(size=(10, 3, *SIZE)).astype(np.float32)
    assert batch_check(Subject(LawEngine(batch=4), OWN), images, 8, "f32").verdict == "pass"
    odd = LawEngine(by_place, batch=4)
    assert batch_check(Subject(odd, OWN), images, 8, "f32").verdict == "fail"


def test_cosines_are_taken_after_the_mean_is_removed() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=(50, 6)).astype(np.float32) + 100
    b = rng.normal(size=(50, 6)).astype(np.float32) + 100
    raw = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert raw.min() > 0.99  # strangers look alike
    assert abs(centred_cosines(a, b).mean()) < 0.3
    assert centred_cosines(a, a * 3 + 5) == pytest.approx(np.ones(50))


def test_features_of_another_size_cannot_share_a_gallery() -> None:
    found = agreement(np.ones((4, 8), np.float32), np.ones((4, 6), np.float32))
    assert found.verdict == "fail"
    assert "6" in found.explanation
    assert "8" in found.explanation


def check(candidate: Preprocessing, law: Law, crops: list[Path]) -> str:
    """The verdict on an engine of ``law`` whose manifest states ``candidate``; the reference is
    ``stripes`` with ``OWN``."""
    wanted = extract_paths(Subject(LawEngine(), OWN), crops, Extraction(8))
    subject = Subject(LawEngine(law), candidate)
    return preprocessing_check(subject, OWN, crops, wanted, Extraction(8)).verdict


def test_a_preprocessing_that_is_not_the_networks_is_found(crops: list[Path]) -> None:
    assert check(OWN, stripes, crops) == "pass"
    assert check(replace(OWN, color="BGR"), stripes, crops) == "fail"
    assert check(replace(OWN, mean=OWN.std, std=OWN.mean), stripes, crops) == "fail"
    assert check(replace(OWN, mean=(0.0,) * 3, std=(1.0,) * 3), stripes, crops) == "fail"


def test_a_network_that_expects_another_preprocessing_than_it_states_is_found(
    crops: list[Path],
) -> None:
    assert check(OWN, lambda x: stripes(x[:, ::-1]), crops) == "fail"


def test_a_network_with_its_normalisation_built_in_is_no_mistake(crops: list[Path]) -> None:
    """The candidate takes 0 to 1 and normalises itself."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (OWN.mean, OWN.std))
    plain = replace(OWN, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert check(plain, lambda x: stripes((x - mean) / std), crops) == "pass"


def test_a_network_that_is_merely_coarse_is_no_mistake(crops: list[Path]) -> None:
    assert check(OWN, lambda x: np.round(stripes(x) * 12) / np.float32(12), crops) == "pass"


def test_what_is_stated_is_not_among_its_own_alternatives() -> None:
    own = replace(OWN, color="BGR", mean=(0.5,) * 3, std=(0.5,) * 3)
    found = alternatives(own, OWN)
    assert own not in found.values()
    assert found["RGB for BGR"].color == "RGB"
    assert all((p.height, p.width) == SIZE for p in found.values())


def test_crops_are_found_below_a_folder_by_name(tmp_path: Path, crops: list[Path]) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    deeper = tmp_path / "deeper"
    deeper.mkdir()
    crops[0].rename(deeper / "z.JPG")
    assert crops_of(tmp_path) == sorted([*crops[1:], deeper / "z.JPG"])
    with pytest.raises(InputError, match="holds 1 images"):
        crops_of(deeper)
    with pytest.raises(InputError, match="no folder"):
        crops_of(tmp_path / "nowhere")
