"""The training loop: steps, a checkpoint every so often, the same bits after an interruption.

A step depends only on the schedule, the images and the state in the checkpoint (same machine, same
PyTorch, same number of threads); nothing in it draws random numbers but the images' variation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgereid.data.augment import Augmentation
from edgereid.data.sampler import shuffled_batches
from edgereid.errors import InputError
from edgereid.images import Preprocessing
from edgereid.progress import note, progress
from edgereid.train import checkpoint as checkpoints
from edgereid.train.checkpoint import CHECKPOINT, Checkpoint, Progress
from edgereid.train.images import LoadedBatch, TrainingImages, load_ahead
from edgereid.train.interrupt import Interrupt, StopRequested
from edgereid.train.qat.distil import Distillation
from edgereid.train.qat.network import GraphNetwork
from edgereid.train.qat.options import Schedule

SAVED_EVERY = 50  # steps
NOTED_EVERY = 10
#: Learning rate of the ranges, whose parameters are logarithms; it follows the weights' schedule.
RANGES_LR = 0.03


@dataclass(frozen=True, slots=True)
class Task:
    """``student`` learns ``teacher``'s embeddings of ``images``; ``identity`` is stored: a run
    resumes only with an equal one."""

    student: GraphNetwork
    teacher: nn.Module
    distillation: Distillation
    images: TrainingImages
    preprocessing: Preprocessing
    schedule: Schedule
    identity: dict[str, Any]
    out: Path


class Distiller:
    """Runs a ``Task`` from its beginning or from its last checkpoint."""

    def __init__(self, task: Task, interrupt: Interrupt) -> None:
        self.task, self.interrupt = task, interrupt
        self.parameters = {n: p for n, p in task.student.named_parameters() if p.requires_grad}
        own = self.parameters.values()
        groups: list[dict[str, Any]] = [
            {"params": [p for p in own if p.ndim], "rate": 1.0},
            {"params": [p for p in own if not p.ndim], "rate": RANGES_LR / task.schedule.lr},
        ]
        self.optimizer = torch.optim.Adam([g for g in groups if g["params"]], lr=task.schedule.lr)
        self.progress = Progress()

    def save(self) -> None:
        """Write the state to ``last.pt``."""
        state = Checkpoint(
            identity=self.task.identity,
            progress=self.progress,
            model={n: p.detach() for n, p in self.parameters.items()},
            optimizer=self.optimizer.state_dict(),
            rng=[],
            average={},
            scaler={},
        )
        checkpoints.save(self.task.out / CHECKPOINT, state)

    def restore(self) -> None:
        """Continue from ``last.pt``. Raises UsageError when it belongs to another run."""
        path = self.task.out / CHECKPOINT
        state = checkpoints.load(path)
        checkpoints.check_same_run(path, state.identity, self.task.identity)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state.model[name])
        self.optimizer.load_state_dict(state.optimizer)
        self.progress = state.progress

    def run(self) -> None:
        """Train to the last step. Raises StopRequested after Ctrl-C, when the finished steps are
        saved; InputError when the loss or a gradient is not a number."""
        steps = self.task.schedule.steps
        left = self._batches(self.progress.step)
        for batch in progress(left, label="training", total=steps - self.progress.step):
            loss = self._step(batch)
            self.progress.step += 1
            self.progress.curves.append({"step": self.progress.step, "loss": loss})
            if self.progress.step % NOTED_EVERY == 0:
                recent = [c["loss"] for c in self.progress.curves[-NOTED_EVERY:]]
                note(f"step {self.progress.step}/{steps}  loss {sum(recent) / len(recent):.5f}")
            if self.interrupt.requested:
                self.save()
                raise StopRequested
            if self.progress.step % SAVED_EVERY == 0:
                self.save()
        self.save()

    def _batches(self, first: int) -> Iterator[LoadedBatch]:
        """The batches from step ``first`` on: epoch after epoch, each in an order of its own."""
        s, images = self.task.schedule, self.task.images
        while first < s.steps:
            batches = shuffled_batches(len(images), s.batch, s.seed, self._epoch(first))
            start = first % len(batches)
            count = min(len(batches) - start, s.steps - first)
            loaded = load_ahead(
                images,
                batches,
                start,
                self._epoch(first),
                s.seed,
                Augmentation(),
                self.task.preprocessing,
            )
            yield from islice(loaded, count)
            first += count

    def _epoch(self, step: int) -> int:
        return step // (len(self.task.images) // self.task.schedule.batch)

    def _step(self, batch: LoadedBatch) -> float:
        step = self.progress.step
        rate = self.task.schedule.lr_at(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        x = torch.from_numpy(batch.images).permute(0, 3, 1, 2)  # NHWC in memory: channels last
        with torch.no_grad():
            wanted: Tensor = self.task.teacher(x)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.task.distillation.loss(self.task.student(x), wanted)
        value = float(loss.detach())
        if math.isfinite(value):
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.get_total_norm(
                [p.grad for p in self.parameters.values() if p.grad is not None]
            )
        if not (math.isfinite(value) and bool(torch.isfinite(norm))):
            what = "a gradient is no number" if math.isfinite(value) else f"the loss is {value}"
            raise InputError(
                f"step {step + 1}: {what}; choose a lower --lr than {self.task.schedule.lr:g}."
            )
        self.optimizer.step()
        return value
