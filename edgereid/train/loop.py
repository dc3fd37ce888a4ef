"""The training loop: steps, epochs, checkpoints between them.

What happens in a step depends only on the recipe, the images and the state in the checkpoint, so a
run that was interrupted and resumed ends in the same bits as one that was not (same machine, same
PyTorch, same number of threads).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgereid.data.sampler import Batch, identity_batches, shuffled_batches
from edgereid.images import Preprocessing
from edgereid.models.registry import Network, TrainOutput
from edgereid.progress import note, progress
from edgereid.train import checkpoint as checkpoints
from edgereid.train.checkpoint import CHECKPOINT, Checkpoint, Progress
from edgereid.train.diagnose import divergence
from edgereid.train.images import LoadedBatch, TrainingImages, load_ahead
from edgereid.train.interrupt import Interrupt, StopRequested
from edgereid.train.log import EpochLog
from edgereid.train.optimise import freeze_all_but_heads, loss, make_optimizer
from edgereid.train.recipe import Recipe

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

    def __init__(self, task: Task, log: EpochLog, interrupt: Interrupt) -> None:
        self.task = task
        self.log = log
        self.interrupt = interrupt
        self.network: Network = task.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.network, task.recipe)
        self.progress = Progress()

    def save(self) -> None:
        """Write the state to ``last.pt``."""
        state = Checkpoint(
            identity=self.task.identity,
            progress=self.progress,
            model=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            rng=torch.get_rng_state(),
        )
        checkpoints.save(self.task.out / CHECKPOINT, state)

    def restore(self) -> None:
        """Continue from ``last.pt``. Raises UsageError when it belongs to another run."""
        path = self.task.out / CHECKPOINT
        state = checkpoints.load(path)
        checkpoints.check_same_run(path, state.identity, self.task.identity)
        self.network.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        torch.set_rng_state(state.rng)
        self.progress = state.progress
        self.log.write(self.progress.curves)

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
        label = f"epoch {p.epoch + 1}/{recipe.epochs}"
        remaining = len(batches) - p.step
        for batch in progress(self._load(batches), label=label, total=remaining):
            start = time.perf_counter()
            value = self._step(batch, p.epoch + p.step / len(batches))
            p.loss_sum += value
            p.seconds += time.perf_counter() - start
            p.step += 1
            self.interrupt.check()

    def _load(self, batches: list[Batch]) -> Iterator[LoadedBatch]:
        p, recipe = self.progress, self.task.recipe
        return load_ahead(
            self.task.images,
            batches,
            p.step,
            p.epoch,
            recipe.seed,
            recipe.augmentation,
            sized(self.task.preprocessing, recipe, p.epoch),
        )

    def _step(self, batch: LoadedBatch, t: float) -> float:
        recipe, epoch = self.task.recipe, self.progress.epoch
        x = torch.from_numpy(batch.images).permute(0, 3, 1, 2)  # NHWC in memory: channels last
        y = torch.from_numpy(batch.labels)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr_at(t)
        self.optimizer.zero_grad(set_to_none=True)
        total = loss(self._forward(x), y, recipe, epoch)
        value = float(total.detach())
        finite = math.isfinite(value)
        if finite:
            total.backward()  # type: ignore[no-untyped-call]
            limit = recipe.clip_norm or math.inf
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit)
            finite = bool(torch.isfinite(norm))
        if not finite:
            at = f"epoch {epoch + 1}, step {self.progress.step + 1}"
            raise divergence(self.network, lambda: self._forward(x), value, at)
        self.optimizer.step()
        return value

    def _forward(self, x: Tensor) -> TrainOutput:
        bf16 = self.task.recipe.precision == "bf16"
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output: TrainOutput = self.network.forward_train(x)
        return output

    def _metrics(self, evaluate: Evaluate | None) -> dict[str, Any] | None:
        every = self.task.recipe.eval_every
        last = self.progress.epoch + 1 == self.task.recipe.epochs  # evaluated once more at the end
        due = every and (self.progress.epoch + 1) % every == 0 and not last
        return evaluate() if due and evaluate is not None else None

    def _close_epoch(self, metrics: dict[str, Any] | None, on_best: Callable[[], None]) -> None:
        p, recipe = self.progress, self.task.recipe
        size = recipe.size_at(p.epoch)
        images = p.step * recipe.identities * recipe.images
        entry: dict[str, Any] = {
            "epoch": p.epoch + 1,
            "loss": p.loss_sum / max(1, p.step),
            "lr": recipe.lr_at(p.epoch),
            "height": size.height,
            "width": size.width,
            "images": images,
            "seconds": round(p.seconds, 3),
            "images_per_s": round(images / p.seconds, 2) if p.seconds else 0.0,
        }
        if metrics is not None:
            entry["evaluation"] = metrics
        best = metrics is not None and metrics["map"] > p.best_map
        self.progress = Progress(
            epoch=p.epoch + 1,
            best_map=metrics["map"] if metrics is not None and best else p.best_map,
            curves=[*p.curves, entry],
        )
        self.save()
        if best:
            on_best()
        self.log.write(self.progress.curves)
        note(self.log.describe(entry))


def sized(preprocessing: Preprocessing, recipe: Recipe, epoch: int) -> Preprocessing:
    """``preprocessing`` with the image size of an epoch."""
    size = recipe.size_at(epoch)
    return Preprocessing(
        size.height, size.width, preprocessing.color, preprocessing.mean, preprocessing.std
    )
