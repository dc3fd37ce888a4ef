"""The training loop: steps, epochs, checkpoints between them.

What happens in a step depends only on the recipe, the images and the state in the checkpoint, so a
run that was interrupted and resumed ends in the same bits as one that was not (same machine, same
PyTorch, same number of threads).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgereid.data.sampler import Batch, identity_batches, shuffled_batches
from edgereid.errors import UsageError
from edgereid.images import Preprocessing
from edgereid.models.registry import Network
from edgereid.progress import progress
from edgereid.train import checkpoint as checkpoints
from edgereid.train.checkpoint import CHECKPOINT, Checkpoint, Progress
from edgereid.train.images import LoadedBatch, TrainingImages, load_ahead
from edgereid.train.interrupt import Interrupt, StopRequested
from edgereid.train.log import EpochLog, epoch_entry
from edgereid.train.optimise import fix_norms, freeze_all_but_heads, make_optimizer
from edgereid.train.processes import Processes
from edgereid.train.recipe import Recipe
from edgereid.train.step import Stepper, rng_state, set_rng_state
from edgereid.train.swa import WeightAverage, reestimate_batch_norm
from edgereid.train.synced_norm import sync_batch_norm

ALONE = Processes(torch.device("cpu"))
Evaluate = Callable[[], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained: a network with heads, the names of its deployable tensors, the images.

    ``preprocessing`` gives mean, std and colour order; the image size of an epoch is the recipe's.
    ``identity`` is stored in checkpoints: a run resumes only with an equal one.
    """

    network: Network
    deployable: frozenset[str]
    images: TrainingImages
    preprocessing: Preprocessing
    recipe: Recipe
    identity: dict[str, Any]
    out: Path


class Trainer:
    """Runs a ``Task`` from its beginning or from its last checkpoint."""

    def __init__(
        self, task: Task, log: EpochLog, interrupt: Interrupt, group: Processes = ALONE
    ) -> None:
        self.task = task
        self.log = log
        self.interrupt = interrupt
        self.group = group
        self.network: Network = task.network.to(  # type: ignore[call-overload]
            group.device, memory_format=torch.channels_last
        )
        if group.size > 1:
            if task.recipe.identities % group.size:
                raise UsageError(
                    f"recipe: identities is {task.recipe.identities}: not a multiple of the "
                    f"{group.size} processes."
                )
            sync_batch_norm(self.network)
        self.optimizer = make_optimizer(self.network, task.recipe)
        self.stepper = Stepper(self.network, self.optimizer, task.recipe, group)
        self.average = WeightAverage()
        self.progress = Progress()

    def save(self) -> None:
        """Write the state to ``last.pt``."""
        state = Checkpoint(
            identity=self.task.identity,
            progress=self.progress,
            model=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            rng=self.group.gather(rng_state(self.group.device)),
            average=self.average.state_dict(),
            scaler=self.stepper.scaler.state_dict(),
        )
        self.group.first_does(lambda: checkpoints.save(self.task.out / CHECKPOINT, state))

    def restore(self) -> None:
        """Continue from ``last.pt``. Raises UsageError when it belongs to another run."""
        path = self.task.out / CHECKPOINT
        state = checkpoints.load(path)
        checkpoints.check_same_run(path, state.identity, self.task.identity)
        if len(state.rng) != self.group.size:
            raise UsageError(
                f"{path} was written by {len(state.rng)} processes: resume with as many, "
                f"not with {self.group.size}."
            )
        self.network.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        self.average.load_state_dict(state.average)
        self.stepper.scaler.load_state_dict(state.scaler)
        set_rng_state(state.rng[self.group.rank], self.group.device)
        self.progress = state.progress
        self.group.first_does(lambda: self.log.write(self.progress.curves))

    def run(self, evaluate: Evaluate | None, on_best: Callable[[], None]) -> None:
        """Train to the last epoch.

        Raises StopRequested after Ctrl-C, when the finished steps are saved; InputError when the
        loss or a gradient stops being a number.
        """
        recipe = self.task.recipe
        while self.progress.epoch < recipe.epochs:
            try:
                self._epoch()
                metrics = self._metrics(evaluate)
            except StopRequested:
                self.save()
                raise
            self._close_epoch(metrics, on_best)

    def finish(self) -> None:
        """Where the recipe averages weights: the network gets their mean and the batch-norm
        statistics that belong to it. The checkpoint keeps the last weights."""
        if not self.average.count:
            return
        epoch = self.task.recipe.epochs  # a stream of variations of its own
        self.average.load_mean(self.network)
        loaded = self._load(self._batches(epoch), 0, epoch)
        reestimate_batch_norm(self.network, (self.stepper.tensors(b)[0] for b in loaded))

    def _batches(self, epoch: int) -> list[Batch]:
        r, images = self.task.recipe, self.task.images
        if r.by_identity(epoch):
            return identity_batches(images.labels, r.identities, r.images, r.seed, epoch)
        return shuffled_batches(len(images), r.identities * r.images, r.seed, epoch)

    def _epoch(self) -> None:
        """The epoch's remaining steps."""
        p, recipe = self.progress, self.task.recipe
        batches = self._batches(p.epoch)
        freeze_all_but_heads(self.network, self.task.deployable, p.epoch < recipe.freeze_epochs)
        if recipe.fixes_norms(p.epoch):
            fix_norms(self.network)
        self.stepper.begin_epoch()
        label = f"epoch {p.epoch + 1}/{recipe.epochs}"
        loaded = self._load(batches, p.step, p.epoch)
        left = time.perf_counter()
        for batch in progress(loaded, label=label, total=len(batches) - p.step):
            start = time.perf_counter()
            p.waiting += start - left
            p.loss_sum += self._step(batch, p.epoch + p.step / len(batches))
            left = time.perf_counter()
            p.seconds += left - start
            p.step += 1
            self._stop_if_asked()

    def _load(self, batches: list[Batch], first: int, epoch: int) -> Iterator[LoadedBatch]:
        recipe = self.task.recipe
        return load_ahead(
            self.task.images,
            batches,
            first,
            epoch,
            recipe.seed,
            recipe.augmentation,
            sized(self.task.preprocessing, recipe, min(epoch, recipe.epochs - 1)),
            share=self.group.share(recipe.identities * recipe.images),
        )

    def _step(self, batch: LoadedBatch, t: float) -> float:
        return self.stepper.step(batch, t, self.progress.epoch, self.progress.step)

    def _stop_if_asked(self) -> None:
        """Ctrl-C, in whichever process, stops all of them after the same step."""
        if self.group.mean_and_any(0.0, self.interrupt.requested)[1]:
            raise StopRequested

    def _metrics(self, evaluate: Evaluate | None) -> dict[str, Any] | None:
        every = self.task.recipe.eval_every
        last = self.progress.epoch + 1 == self.task.recipe.epochs  # evaluated once more at the end
        due = every and (self.progress.epoch + 1) % every == 0 and not last
        return evaluate() if due and evaluate is not None else None

    def _close_epoch(self, metrics: dict[str, Any] | None, on_best: Callable[[], None]) -> None:
        p = self.progress
        entry = epoch_entry(p, self.task.recipe)
        if metrics is not None:
            entry["evaluation"] = metrics
        best = metrics is not None and metrics["map"] > p.best_map
        if self.task.recipe.closes_cycle(p.epoch):
            self.average.add(self.network)
        self.progress = Progress(
            epoch=p.epoch + 1,
            best_map=metrics["map"] if metrics is not None and best else p.best_map,
            curves=[*p.curves, entry],
        )
        self.save()
        if best:
            self.group.first_does(on_best)
        self.group.first_does(lambda: self.log.close_epoch(self.progress.curves))


def sized(preprocessing: Preprocessing, recipe: Recipe, epoch: int) -> Preprocessing:
    """``preprocessing`` with the image size of an epoch."""
    size = recipe.size_at(epoch)
    return Preprocessing(
        size.height, size.width, preprocessing.color, preprocessing.mean, preprocessing.std
    )
