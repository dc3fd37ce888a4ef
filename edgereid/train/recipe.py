"""A training recipe is data: one small JSON file under ``edgereid/train/recipes/``.

``load`` reads one by name or path, ``override`` applies ``--set key=value``. No torch here.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgereid.data.augment import Augmentation
from edgereid.errors import UsageError
from edgereid.files import read_json
from edgereid.train.fields import typed
from edgereid.train.schedules import SCHEDULES, WARMUPS, Timetable, cyclic_cosine, scheduled

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True)
class Size:
    """From the fraction ``start`` of the epochs on, images of ``height`` x ``width`` pixels."""

    start: float
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the trained weights, except the images.

    Epoch counts are in epochs, sizes in pixels, ``triplet_start`` and ``Size.start`` are fractions
    of ``epochs``; a weight or norm of 0 switches its term off.
    """

    name: str
    network: str
    epochs: int
    sizes: tuple[Size, ...]
    description: str = ""
    # batches
    sampler: str = "shuffled"  # P * K images at random; "identity": P x K in every epoch
    identities: int = 16  # P
    images: int = 4  # K
    # optimiser
    optimizer: str = "amsgrad"
    lr: float = 0.0015
    momentum: float = 0.9  # of sgd
    betas: tuple[float, float] = (0.9, 0.99)  # of adam, amsgrad, adamw
    weight_decay: float = 5e-4
    clip_norm: float = 0.0
    backbone: tuple[str, ...] = ()  # beginnings of the names of the pretrained parameters
    backbone_lr: float = 1.0  # their learning rate as a part of the others'
    spectral_norm: bool = False  # of every convolution
    # learning rate
    schedule: str = "cosine"
    milestones: tuple[float, ...] = ()  # of multi-step, in epochs
    decay: float = 0.1  # at every milestone
    warmup: str = "linear"
    warmup_epochs: float = 0.0
    freeze_epochs: int = 0  # the first epochs train the classifier only (fine-tuning)
    fixed_norm_epochs: int = 0  # the last epochs: batch norms as deployed, on their statistics
    # the last swa_cycles * swa_cycle_epochs epochs: weights averaged at the end of every cycle
    swa_cycles: int = 0
    swa_cycle_epochs: int = 35
    swa_lr: float = 0.03  # the first cycle's peak
    swa_decay: float = 0.7  # of the peak, cycle by cycle
    # losses
    label_smoothing: float = 0.0
    ce_reduce: str = "sum"  # over the classifiers; "mean"
    aux_weight: float = 0.4
    triplet: str = "none"
    triplet_weight: float = 0.5
    triplet_start: float = 0.0
    margin: float = 0.3
    soft_margin: bool = False
    beta: float = 0.8  # of e-trihard
    gamma: float = 128.0  # of circle
    metric_reduce: str = "sum"  # over the features; "mean"
    metric_features: str = "raw"  # or "normalised" (L2)
    # augmentation
    augmentation: Augmentation = field(default_factory=Augmentation)
    # run
    precision: str = "f32"
    eval_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"recipe: {name} {getattr(self, name)!r} is unknown: {', '.join(allowed)}."
                )
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= least):
                raise UsageError(f"recipe: {name} is {value}: at least {least} is needed.")
        if self.identities * self.images < 2:
            raise UsageError("recipe: a batch needs at least two images (batch normalisation).")
        starts = [s.start for s in self.sizes]
        if not starts or starts[0] != 0 or starts != sorted(starts) or starts[-1] >= 1:
            raise UsageError("recipe: the starts of sizes begin with 0, ascend, stay below 1.")
        if self.base_epochs < 0:
            raise UsageError(
                f"recipe: epochs is {self.epochs}: the {self.swa_cycles} cycles of averaging need "
                f"{self.swa_cycles * self.swa_cycle_epochs} of them. Set swa_cycles too."
            )

    def fixes_norms(self, epoch: int) -> bool:
        """Whether batch norms keep their statistics in ``epoch`` (0-based) and normalise by them.

        What a batch holds then no longer hides what the deployed network does with one image.
        """
        return epoch >= self.epochs - self.fixed_norm_epochs

    @property
    def base_epochs(self) -> int:
        """The epochs before weights are averaged."""
        return self.epochs - self.swa_cycles * self.swa_cycle_epochs

    def closes_cycle(self, epoch: int) -> bool:
        """Whether the weights at the end of ``epoch`` (0-based) enter the average."""
        done = epoch + 1 - self.base_epochs
        return self.swa_cycles > 0 and done > 0 and done % self.swa_cycle_epochs == 0

    def size_at(self, epoch: int) -> Size:
        """The image size in an epoch (0-based)."""
        due = [s for s in self.sizes if epoch >= round(s.start * self.epochs)]
        return due[-1]

    def lr_at(self, t: float) -> float:
        """Learning rate at ``t`` epochs: warm-up, schedule, then the cycles of averaging."""
        if self.swa_cycles and t >= self.base_epochs:
            since = t - self.base_epochs
            return cyclic_cosine(self.swa_lr, since, self.swa_cycle_epochs, self.swa_decay)
        table = Timetable(self.base_epochs, self.warmup_epochs, self.milestones, self.decay)
        return scheduled(self.schedule, self.warmup, self.lr, t, table)

    def triplet_weight_at(self, epoch: int) -> float:
        """The metric loss's weight in an epoch; 0 before ``triplet_start`` and without the loss."""
        on = self.triplet != "none" and epoch >= round(self.triplet_start * self.epochs)
        return self.triplet_weight if on else 0.0

    def by_identity(self, epoch: int) -> bool:
        """Whether the epoch's batches are P x K: wherever the metric loss is on.

        Before that shuffled batches are the better choice: from scratch, cross entropy learns many
        times faster when a batch does not hold a few people only.
        """
        return self.sampler == "identity" or self.triplet_weight_at(epoch) > 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; ``from_json`` reads it back equal."""
        value: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return value


_CHOICES: dict[str, tuple[str, ...]] = {
    "sampler": ("identity", "shuffled"),
    "optimizer": ("sgd", "adam", "amsgrad", "adamw"),
    "triplet": ("none", "trihard", "e-trihard", "soft-triplet", "circle"),
    "precision": ("f32", "bf16", "f16"),
    "schedule": tuple(SCHEDULES),
    "warmup": tuple(WARMUPS),
    "ce_reduce": ("sum", "mean"),
    "metric_reduce": ("sum", "mean"),
    "metric_features": ("raw", "normalised"),
}
_LEAST: dict[str, float] = {
    "epochs": 1, "identities": 1, "images": 1, "lr": 0, "momentum": 0, "weight_decay": 0,
    "warmup_epochs": 0, "freeze_epochs": 0, "fixed_norm_epochs": 0, "clip_norm": 0,
    "label_smoothing": 0, "aux_weight": 0, "triplet_weight": 0, "triplet_start": 0, "margin": 0,
    "beta": 0, "eval_every": 0, "seed": 0, "backbone_lr": 0, "decay": 0, "swa_cycles": 0,
    "swa_cycle_epochs": 1, "swa_lr": 0, "swa_decay": 0, "gamma": 0,
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The recipes that come with the package, sorted."""
    return tuple(sorted(p.stem for p in RECIPES.glob("*.json")))


def load(name_or_path: str) -> Recipe:
    """The recipe of that name, or of that JSON file. Raises UsageError with what exists."""
    if name_or_path in names():
        return from_json(read_json(RECIPES / f"{name_or_path}.json"))
    if name_or_path.endswith(".json"):
        return from_json(read_json(Path(name_or_path)))
    known = names()
    close = difflib.get_close_matches(name_or_path, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UsageError(
        f"unknown recipe {name_or_path!r}.{hint} Known: {', '.join(known)}; or a .json file's path."
    )


def from_json(value: Any) -> Recipe:
    """A recipe from parsed JSON. Raises UsageError that names the field."""
    if not isinstance(value, Mapping):
        raise UsageError("a recipe is a JSON object.")
    augmentation = typed(Augmentation, value.get("augmentation", {}), "augmentation.")
    sizes = value.get("sizes", [])
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        raise UsageError("recipe: sizes is a list of {start, height, width}.")
    checked = tuple(Size(**typed(Size, s, "sizes.")) for s in sizes)
    rest = {k: v for k, v in value.items() if k not in ("augmentation", "sizes")}
    try:
        return Recipe(
            sizes=checked, augmentation=Augmentation(**augmentation), **typed(Recipe, rest, "")
        )
    except TypeError as error:
        raise UsageError(f"recipe: {error}.".replace("Recipe.__init__() ", "")) from error


def override(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """Apply ``key=value`` texts: JSON or plain text; ``augmentation.erase=0.3`` works too."""
    value = recipe.to_json()
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise UsageError(f"--set {assignment!r}: write key=value.")
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = text
        head, dot, tail = key.partition(".")
        if dot and isinstance(value.get(head), dict):
            value[head] = {**value[head], tail: parsed}
        else:
            value[key] = parsed
    return from_json(value)


def with_run(recipe: Recipe, epochs: int | None, seed: int | None) -> Recipe:
    """The recipe with ``--epochs`` and ``--seed`` where they were given."""
    return replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        seed=recipe.seed if seed is None else seed,
    )
