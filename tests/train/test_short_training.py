"""A few steps of a paper's recipe, at a small size, already tell people apart.

On people it has seen: whether a network generalises is a matter of hours, not of a test; the
recorded trainings are under ``benchmarks/results``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from edgereid.data.layouts import open_dataset
from edgereid.data.synth import SynthOptions, synthesise
from edgereid.images import Preprocessing
from edgereid.models import registry
from edgereid.train import recipe as recipes
from edgereid.train.evaluate import evaluate_network
from edgereid.train.run import TrainOptions, run_training

#: recipe -> height and width of the images
CASES: dict[str, tuple[int, int]] = {
    "dslnet-etrihard": (64, 32),
    "osnet-x1-0": (64, 32),
    "robust-reid-1x": (80, 32),
    "robust-reid-2x": (80, 32),
    "sa-mbn": (64, 32),
    "resnest50-k2r3-circle": (96, 32),
    "resnest50-k1r2-circle": (96, 32),
    "mgn": (96, 32),
    "hacnn": (80, 32),
}
#: Thirty units in a row without a sum around them, normalised spectrally: twice as long for it.
SLOWER = {"robust-reid-1x": ("epochs=48",)}
#: The papers start from ImageNet and train for hours; from scratch and in a minute it takes these.
QUICK = (
    "epochs=24", "optimizer=amsgrad", "lr=0.0007", "schedule=cosine", "warmup=linear",
    "warmup_epochs=1", "freeze_epochs=0", "backbone_lr=1", "swa_cycles=0", "identities=8",
    "images=4", "clip_norm=5", "augmentation.erase=0", "precision=bf16", "eval_every=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def seen_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built-in data whose query and gallery show the people of the training split."""
    root = tmp_path_factory.mktemp("seen") / "data"
    synthesise(root, SynthOptions(train_ids=24, test_ids=1, distractors=0, junk=0))
    for part in ("query", "bounding_box_test"):
        for old in (root / part).iterdir():
            old.unlink()
    done = set()
    for image in sorted((root / "bounding_box_train").glob("*.jpg")):
        person_and_camera = image.name.split("s")[0]
        part = "bounding_box_test" if person_and_camera in done else "query"
        done.add(person_and_camera)
        os.link(image, root / part / image.name)
    return root


@pytest.mark.slow
@pytest.mark.timeout(3600)  # minutes a network on two processors
@pytest.mark.parametrize("name", CASES)
def test_a_short_training_beats_the_untrained_network(
    name: str, seen_people: Path, tmp_path: Path
) -> None:
    height, width = CASES[name]
    sizes = f'sizes=[{{"start": 0, "height": {height}, "width": {width}}}]'
    recipe = recipes.override(recipes.load(name), [*QUICK, *SLOWER.get(name, ()), sizes])
    torch.manual_seed(0)
    untrained = evaluate_network(
        registry.build(recipe.network), open_dataset(seen_people), Preprocessing(height, width)
    )
    result = run_training(TrainOptions(recipe, seen_people, tmp_path / "run"))
    losses = [c["loss"] for c in result["curves"]]
    found = result["evaluation"]["map"]
    before = untrained["map"]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]
    assert found > before + 0.2
