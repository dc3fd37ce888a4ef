"""Recipes: the packaged ones, the schedule's check values, errors that name the field."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from edgereid.errors import UsageError
from edgereid.train import recipe as recipes
from edgereid.train.recipe import Recipe, from_json, load, override, with_run


def cosine(lr: float, epochs: int, warmup: float = 0) -> Recipe:
    sizes = [{"start": 0, "height": 32, "width": 16}]
    value = {"name": "x", "network": "tiny", "epochs": epochs, "lr": lr, "sizes": sizes}
    return from_json({**value, "warmup_epochs": warmup})


@pytest.mark.parametrize(
    ("lr", "epochs", "epoch", "expected"),
    [
        (0.065, 350, 0, 0.065),
        (0.065, 350, 87, 0.055584),
        (0.065, 350, 175, 0.0325),
        (0.065, 350, 262, 0.009622),
        (0.065, 350, 350, 0.0),
        (0.0015, 250, 125, 0.00075),
    ],
)
def test_the_cosine_schedule_has_the_check_values(
    lr: float, epochs: int, epoch: int, expected: float
) -> None:
    assert cosine(lr, epochs).lr_at(epoch) == pytest.approx(expected, abs=6e-7)


def test_warm_up_rises_linearly_from_a_hundredth_and_joins_the_cosine() -> None:
    recipe = cosine(0.1, 10, warmup=2)
    assert 0 < recipe.lr_at(0) < 0.0011
    rises = [recipe.lr_at(t + 0.5) - recipe.lr_at(t) for t in (0, 0.5, 1)]
    assert rises == pytest.approx([rises[0]] * 3)
    assert recipe.lr_at(2 - 1e-9) == pytest.approx(0.1)
    assert recipe.lr_at(2) == pytest.approx(0.1)
    assert recipe.lr_at(6) == pytest.approx(0.05)


@pytest.mark.parametrize("name", recipes.names())
def test_a_packaged_recipe_loads_under_its_own_name_and_survives_json(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name
    assert recipe.description
    assert from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_the_papers_recipes_have_the_papers_figures() -> None:
    scratch, literal, tuned = (
        load(f"dslnet-{n}") for n in ("scratch", "paper-literal", "etrihard")
    )
    assert (scratch.optimizer, scratch.lr, scratch.epochs) == ("sgd", 0.065, 350)
    assert scratch.identities * scratch.images == 64
    assert (literal.optimizer, literal.lr, literal.epochs) == ("sgd", 0.0015, 350)
    assert (tuned.optimizer, tuned.lr, tuned.epochs) == ("amsgrad", 0.0015, 250)
    assert (tuned.triplet, tuned.triplet_weight, tuned.beta) == ("e-trihard", 0.5, 0.8)
    assert tuned.freeze_epochs == round(tuned.triplet_start * tuned.epochs) == 10
    assert {r.weight_decay for r in (scratch, literal, tuned)} == {5e-4}
    assert {(s.height, s.width) for s in scratch.sizes} == {(256, 128)}


def test_the_built_in_recipe_ends_at_the_networks_own_size() -> None:
    recipe = load("dslnet-builtin")
    last = recipe.size_at(recipe.epochs - 1)
    assert (last.height, last.width) == (256, 128)


def test_sizes_and_triplet_start_scale_with_the_epochs() -> None:
    sizes = [{"start": 0, "height": 32, "width": 16}, {"start": 0.5, "height": 64, "width": 32}]
    value = {**cosine(0.1, 10).to_json(), "sizes": sizes, "triplet": "trihard"}
    recipe = from_json({**value, "triplet_start": 0.3, "triplet_weight": 2.0})
    assert [recipe.size_at(e).height for e in (0, 4, 5, 9)] == [32, 32, 64, 64]
    assert [recipe.triplet_weight_at(e) for e in (0, 2, 3, 9)] == [0.0, 0.0, 2.0, 2.0]
    longer = with_run(recipe, epochs=20, seed=None)
    assert [longer.size_at(e).height for e in (9, 10)] == [32, 64]


def test_set_changes_fields_of_the_recipe_and_of_its_augmentation() -> None:
    changed = override(
        load("dslnet-builtin"),
        ["lr=0.001", "optimizer=sgd", "augmentation.erase=0", "betas=[0.8, 0.9]"],
    )
    assert (changed.lr, changed.optimizer) == (0.001, "sgd")
    assert changed.augmentation.erase == 0
    assert changed.augmentation.flip == 0.5
    assert changed.betas == (0.8, 0.9)
    assert with_run(changed, 3, 9).epochs == 3
    assert with_run(changed, None, 9).seed == 9


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["lr"], "write key=value"),
        (["learning_rate=1"], "unknown field learning_rate"),
        (["epoch=1"], "Did you mean epochs"),
        (["augmentation.flips=1"], "Did you mean augmentation.flip"),
        (["lr=fast"], "lr is 'fast': not float"),
        (["lr=-1"], "lr is -1.0: at least 0"),
        (["lr=NaN"], "lr is nan"),
        (["epochs=0"], "epochs is 0: at least 1"),
        (["epochs=2.5"], "epochs is 2.5: not int"),
        (["soft_margin=1"], "soft_margin is 1: not bool"),
        (["optimizer=lion"], "optimizer 'lion' is unknown: sgd, adam"),
        (["triplet=hard"], "unknown: none, trihard, e-trihard"),
        (["precision=f8"], "unknown: f32, bf16, f16"),
        (["schedule=step"], "unknown: cosine, multi-step, constant"),
        (["milestones=3"], "milestones is 3"),
        (["backbone=conv1"], "backbone is"),
        (["swa_cycles=2"], "epochs is 18: the 2 cycles of averaging need 70 of them"),
        (["identities=1", "images=1"], "at least two images"),
        (["sizes=[]"], "starts of sizes"),
        (['sizes=[{"start": 0.5, "height": 8, "width": 8}]'], "starts of sizes"),
        (["sizes=3"], "sizes is a list"),
        (["betas=[1]"], "betas is"),
        (["augmentation=3"], "augmentation. is not a JSON object"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_the_field(
    assignments: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        override(load("dslnet-builtin"), assignments)


@pytest.mark.parametrize(
    ("value", "message"),
    [([], "JSON object"), ({}, "missing"), ({"name": 3}, "name is 3"), ({"sizes": "x"}, "list")],
)
def test_a_file_that_is_no_recipe_is_an_error(value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_json(value)


def test_an_unknown_recipe_lists_what_exists(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'dslnet-builtin'.*dslnet-etrihard"):
        load("dslnet-buildin")
    path = tmp_path / "own.json"
    path.write_text(json.dumps({**load("dslnet-builtin").to_json(), "lr": 0.5}))
    assert math.isclose(load(str(path)).lr, 0.5)
