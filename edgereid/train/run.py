"""``edgereid train`` as one function: options in, the result out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgereid.cpus import usable_cpus
from edgereid.data.layouts import open_dataset
from edgereid.data.types import ReidDataset
from edgereid.errors import UsageError
from edgereid.images import Preprocessing
from edgereid.models import registry
from edgereid.models.registry import Network
from edgereid.progress import note
from edgereid.train import checkpoint as checkpoints
from edgereid.train.board import Board
from edgereid.train.checkpoint import CHECKPOINT
from edgereid.train.evaluate import evaluate_network
from edgereid.train.images import TrainingImages
from edgereid.train.interrupt import Interrupt
from edgereid.train.log import EpochLog
from edgereid.train.loop import Task, Trainer, sized
from edgereid.train.pretrained import check_choice, load_pretrained, of_resumed_run
from edgereid.train.pretrained_file import fetch
from edgereid.train.processes import Processes, processes
from edgereid.train.recipe import Recipe
from edgereid.train.spectral import add_spectral_norm
from edgereid.train.weights import read_weights, write_provenance, write_swag, write_weights


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """A run: what to train, on what, where to. ``threads`` None: all that this process may use."""

    recipe: Recipe
    data: Path
    out: Path
    layout: str | None = None  # of the data; None: recognised
    init: Path | None = None
    pretrained: str | None = None  # a file, or "torchvision"
    threads: int | None = None
    resume: bool = False
    command: str = ""
    device: str = "auto"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.init is not None and self.pretrained is not None:
            raise UsageError("--init and --pretrained exclude each other: give one of them.")


def run_training(options: TrainOptions) -> dict[str, Any]:
    """Train, evaluate, write ``weights.safetensors`` and ``weights.json`` into ``out``.

    Returns the content of ``weights.json`` and adds the paths. Under torchrun process 0 writes and
    the others return the evaluation alone. Raises the errors of the steps; KeyboardInterrupt after
    the state was saved.
    """
    torch.set_num_threads(options.threads or usable_cpus())
    with processes(options.device) as group, Interrupt() as interrupt:
        group.first_does(lambda: _check_out(options))
        dataset = open_dataset(options.data, options.layout)
        trainer = Trainer(_task(options, dataset, group), _log(options, group), interrupt, group)
        _begin(options, trainer)
        return _train(options, trainer, dataset)


def _log(options: TrainOptions, group: Processes) -> EpochLog:
    recipe = options.recipe
    pixels = [s.height * s.width for s in map(recipe.size_at, range(recipe.epochs))]
    board = Board(options.out) if options.tensorboard and group.first else None
    return EpochLog(options.out, recipe.epochs, pixels, board)


def _begin(options: TrainOptions, trainer: Trainer) -> None:
    if not options.resume:
        trainer.save()
        return
    trainer.restore()
    p = trainer.progress
    if trainer.group.first:
        note(f"resuming after epoch {p.epoch}, step {p.step}")


def _train(options: TrainOptions, trainer: Trainer, dataset: ReidDataset) -> dict[str, Any]:
    task, group = trainer.task, trainer.group
    final = sized(task.preprocessing, task.recipe, task.recipe.epochs - 1)
    # a process alone must not leave an evaluation that the others wait in
    between = trainer.interrupt.check if group.size == 1 else lambda: None

    def evaluate() -> dict[str, Any]:
        return evaluate_network(task.network, dataset, final, between, group)

    def keep_best() -> None:
        write_weights(options.out / "best.safetensors", task.network, *_named(task, final))

    trainer.run(evaluate, keep_best)
    trainer.finish()
    evaluation = evaluate()
    result = {"evaluation": evaluation}
    if group.first:
        result = _finish(options, task, trainer, dataset, final, evaluation)
    group.first_does(lambda: None)  # nobody ends before the files are there
    return result


def _check_out(options: TrainOptions) -> None:
    if options.resume or not options.out.exists():
        return
    if not options.out.is_dir():
        raise UsageError(f"--out {options.out} is a file: choose a directory.")
    if any(options.out.iterdir()):
        found = "a run" if (options.out / CHECKPOINT).exists() else "other files"
        raise UsageError(
            f"--out {options.out} already holds {found}: "
            "add --resume to continue a run, or choose another folder."
        )


def _task(options: TrainOptions, dataset: ReidDataset, group: Processes) -> Task:
    recipe = options.recipe
    images = TrainingImages(dataset.train)
    torch.manual_seed(recipe.seed)
    network = registry.build(recipe.network, images.num_ids)
    keys = frozenset(registry.build(recipe.network).state_dict())
    if options.init is not None:
        read_weights(options.init, network, keys)
    pretrained = _pretrained(options, network, keys, group)
    if recipe.spectral_norm:
        add_spectral_norm(network)  # renames the weights: after all of them are loaded
    spec = registry.entry(recipe.network).input
    identity: dict[str, Any] = {
        "recipe": recipe.to_json(),
        "data": {
            "name": dataset.name,
            "images": len(images),
            "people": images.num_ids,
            "sha256": images.digest(dataset.root),
        },
    }
    if pretrained is not None:
        identity["pretrained"] = pretrained
    preprocessing = Preprocessing(spec.height, spec.width, mean=spec.mean, std=spec.std)
    return Task(network, keys, images, preprocessing, recipe, identity, options.out)


def _pretrained(
    options: TrainOptions, network: Network, keys: frozenset[str], group: Processes
) -> dict[str, Any] | None:
    """Load the pretrained weights that were asked for; the report on them, None without."""
    choice, recipe = options.pretrained, options.recipe
    if options.resume:
        saved = checkpoints.load(options.out / CHECKPOINT).identity.get("pretrained")
        return of_resumed_run(choice, saved)
    if choice is None:
        return None
    check_choice(choice, network, recipe.network)
    group.first_does(lambda: fetch(choice))  # one download, whatever the number of processes
    report = load_pretrained(fetch(choice), network, keys, recipe.network)
    if group.first:
        for line in report.lines():
            note(line)
        if recipe.freeze_epochs and report.fresh:
            note(
                f"  the first {recipe.freeze_epochs} epochs train the heads only: the other layers "
                "left as initialised wait; --set freeze_epochs=0 trains them from the start"
            )
    return report.to_json()


def _named(task: Task, final: Preprocessing) -> tuple[frozenset[str], str, tuple[int, int]]:
    return task.deployable, task.recipe.network, (final.height, final.width)


def _finish(
    options: TrainOptions,
    task: Task,
    trainer: Trainer,
    dataset: ReidDataset,
    final: Preprocessing,
    evaluation: dict[str, Any],
) -> dict[str, Any]:
    weights = options.out / "weights.safetensors"
    write_weights(weights, task.network, *_named(task, final))
    if trainer.average.count:
        write_swag(options.out / "swag.safetensors", trainer.average)
    curves: Sequence[dict[str, Any]] = trainer.progress.curves
    facts = {
        "network": task.recipe.network,
        "command": options.command,
        "seed": task.recipe.seed,
        "threads": torch.get_num_threads(),
        "processes": trainer.group.size,
        "device": trainer.group.device.type,
        "preprocessing": final.to_json(),
        "evaluation": {
            "dataset": dataset.name,
            "metric": "cosine",
            "precision": "f32",
            **evaluation,
        },
        "seconds": round(sum(float(c["seconds"]) for c in curves), 1),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "curves": curves,
        **task.identity,
    }
    result = write_provenance(weights, facts)
    return {**result, "out": str(options.out)}
