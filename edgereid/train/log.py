"""The curves of a run: one JSON object an epoch in ``log.jsonl``, and that epoch's line for a
person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgereid.files import write_text
from edgereid.progress import note
from edgereid.train.board import Board
from edgereid.train.checkpoint import Progress
from edgereid.train.recipe import Recipe

LOG = "log.jsonl"


class EpochLog:
    """``log.jsonl`` of a run of ``epochs`` epochs. ``pixels`` are those of one image in each epoch:
    the estimate of the time left scales with them."""

    def __init__(
        self, out: Path, epochs: int, pixels: Sequence[int], board: Board | None = None
    ) -> None:
        self.path = out / LOG
        self.epochs = epochs
        self.pixels = tuple(pixels)
        self.board = board

    def write(self, entries: Sequence[dict[str, Any]]) -> None:
        """Make the file hold exactly these entries. Raises StorageError."""
        lines = (json.dumps(e, sort_keys=True, allow_nan=False) + "\n" for e in entries)
        write_text(self.path, "".join(lines))

    def close_epoch(self, entries: Sequence[dict[str, Any]]) -> None:
        """Write the file and show the last entry, to TensorBoard as well where asked."""
        self.write(entries)
        note(self.describe(entries[-1]))
        if self.board is not None:
            self.board.write(entries[-1])

    def describe(self, entry: dict[str, Any]) -> str:
        """The line for a person: loss, learning rate, speed and the time left."""
        done = int(entry["epoch"])
        left = sum(self.pixels[done:]) / self.pixels[done - 1] * float(entry["seconds"])
        text = (
            f"epoch {done}/{self.epochs}  {entry['height']}x{entry['width']}  "
            f"loss {entry['loss']:.4f}  lr {entry['lr']:.2e}  "
            f"{entry['images_per_s']:.1f} images/s  "
            f"{100 * entry['waiting']:.0f} % waiting for data  {left / 60:.0f} min left"
        )
        metrics = entry.get("evaluation")
        return text if metrics is None else f"{text}  {describe_metrics(metrics)}"


def epoch_entry(p: Progress, recipe: Recipe) -> dict[str, Any]:
    """The figures of the epoch that ``p`` has finished; ``waiting`` is the share of its time that
    was spent waiting for data."""
    size = recipe.size_at(p.epoch)
    images = p.step * recipe.identities * recipe.images
    return {
        "epoch": p.epoch + 1,
        "loss": p.loss_sum / max(1, p.step),
        "lr": recipe.lr_at(p.epoch),
        "height": size.height,
        "width": size.width,
        "images": images,
        "seconds": round(p.seconds, 3),
        "images_per_s": round(images / p.seconds, 2) if p.seconds else 0.0,
        "waiting": round(p.waiting / max(p.seconds + p.waiting, 1e-9), 4),
    }


def describe_metrics(metrics: dict[str, Any]) -> str:
    """Rank-1 and mAP in percent."""
    return f"Rank-1 {100 * metrics['rank1']:.1f}  mAP {100 * metrics['map']:.1f}"
