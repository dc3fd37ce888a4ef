"""The curves for TensorBoard, where the optional package ``tensorboard`` is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgereid.errors import MissingRuntimeError

FOLDER = "tensorboard"
_SCALARS = ("loss", "lr", "images_per_s", "waiting")


class Board:
    """Writes an epoch's figures as scalars. Raises MissingRuntimeError without the package."""

    def __init__(self, out: Path) -> None:
        try:
            module = importlib.import_module("torch.utils.tensorboard")
        except ImportError as error:
            raise MissingRuntimeError(
                "--tensorboard needs the package tensorboard: pip install tensorboard."
            ) from error
        self._make: Callable[..., Any] = module.SummaryWriter
        self._folder = str(out / FOLDER)
        self._writer: Any = None

    def write(self, entry: dict[str, Any]) -> None:
        """One epoch's entry of the log."""
        step = int(entry["epoch"])
        if self._writer is None:  # from this epoch on the curves of an earlier part are replaced
            self._writer = self._make(self._folder, purge_step=step)
        for name in _SCALARS:
            self._writer.add_scalar(f"train/{name}", entry[name], step)
        for name, value in entry.get("evaluation", {}).items():
            self._writer.add_scalar(f"evaluation/{name}", value, step)
        self._writer.flush()
