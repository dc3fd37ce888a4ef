"""Learning rates of the papers at their check values."""

from __future__ import annotations

import pytest

from edgereid.train.recipe import load, override
from edgereid.train.schedules import cyclic_cosine


@pytest.mark.parametrize(
    ("recipe", "values"),
    [
        # 1-based epochs of eq. 1 are 0-based here
        (
            "robust-reid-1x",
            {0: 0.003, 4: 0.015, 9: 0.03, 10: 0.03, 149: 0.03, 150: 0.003, 224: 0.003, 225: 0.0003,
             349: 0.0003},
        ),
        ("robust-reid-2x-swag", {0: 0.003, 225: 0.0003, 349.9: 0.0003, 350: 0.03}),
        ("mgn", {0: 0.01, 39.9: 0.01, 40: 0.001, 60: 0.0001, 79: 0.0001}),
        ("resnest50-k2r3-circle", {0: 3.5e-4, 40: 3.5e-5, 70: 3.5e-6}),
        ("sa-mbn", {0: 0.01, 159.9: 0.01, 160: 0.001, 259: 0.001}),
        ("osnet-x1-0", {0: 0.0015, 125: 0.00075, 250: 0.0}),
    ],
)  # fmt: skip
def test_a_papers_recipe_has_its_learning_rates(recipe: str, values: dict[float, float]) -> None:
    r = load(recipe)
    assert [r.lr_at(t) for t in values] == pytest.approx(list(values.values()), abs=1e-12)


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 0.03), (17, 0.01567297), (35, 0.021), (70, 0.0147), (490, 0.00020347)],
)
def test_the_averaging_phase_has_the_check_values(epoch: int, expected: float) -> None:
    assert cyclic_cosine(0.03, epoch, 35, 0.7) == pytest.approx(expected, abs=6e-9)
    assert load("robust-reid-1x-swag").lr_at(350 + epoch) == pytest.approx(expected, abs=6e-9)


def test_weights_enter_the_average_at_the_end_of_every_cycle_and_nowhere_else() -> None:
    r = load("robust-reid-1x-swag")
    closing = [e for e in range(r.epochs) if r.closes_cycle(e)]
    assert closing == [350 + 35 * c + 34 for c in range(15)]
    assert r.base_epochs == 350
    assert not any(load("robust-reid-1x").closes_cycle(e) for e in range(350))


def test_a_stepped_warm_up_keeps_its_rate_for_a_whole_epoch() -> None:
    r = override(load("robust-reid-1x"), ["warmup_epochs=10"])
    assert r.lr_at(3.0) == r.lr_at(3.99) == pytest.approx(0.012)
