"""The curves of a run: one JSON object an epoch in ``log.jsonl``, and that epoch's line for a
person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgereid.files import write_text

LOG = "log.jsonl"


class EpochLog:
    """``log.jsonl`` of a run of ``epochs`` epochs. ``pixels`` are those of one image in each epoch:
    the estimate of the time left scales with them."""

    def __init__(self, out: Path, epochs: int, pixels: Sequence[int]) -> None:
        self.path = out / LOG
        self.epochs = epochs
        self.pixels = tuple(pixels)

    def write(self, entries: Sequence[dict[str, Any]]) -> None:
        """Make the file hold exactly these entries. Raises StorageError."""
        lines = (json.dumps(e, sort_keys=True, allow_nan=False) + "\n" for e in entries)
        write_text(self.path, "".join(lines))

    def describe(self, entry: dict[str, Any]) -> str:
        """The line for a person: loss, learning rate, speed and the time left."""
        done = int(entry["epoch"])
        left = sum(self.pixels[done:]) / self.pixels[done - 1] * float(entry["seconds"])
        text = (
            f"epoch {done}/{self.epochs}  {entry['height']}x{entry['width']}  "
            f"loss {entry['loss']:.4f}  lr {entry['lr']:.2e}  "
            f"{entry['images_per_s']:.1f} images/s  {left / 60:.0f} min left"
        )
        metrics = entry.get("evaluation")
        return text if metrics is None else f"{text}  {describe_metrics(metrics)}"


def describe_metrics(metrics: dict[str, Any]) -> str:
    """Rank-1 and mAP in percent."""
    return f"Rank-1 {100 * metrics['rank1']:.1f}  mAP {100 * metrics['map']:.1f}"
