"""The state of a run in one file, written whole or not at all, read without running its code."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgereid.errors import InputError, UsageError
from edgereid.files import write_bytes

CHECKPOINT = "last.pt"
SCHEMA = 2


@dataclass(slots=True)
class Progress:
    """Where a run stands: ``step`` steps of epoch ``epoch`` (0-based) are done."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0  # over the steps of this epoch
    seconds: float = 0.0  # spent on the steps of this epoch
    waiting: float = 0.0  # seconds, for data, beside them
    best_map: float = -1.0
    curves: list[dict[str, Any]] = field(default_factory=list)  # one entry a finished epoch


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that decides the rest of the run."""

    identity: dict[str, Any]  # recipe and data; a run resumes only with the same
    progress: Progress
    model: dict[str, Any]
    optimizer: dict[str, Any]
    rng: list[dict[str, torch.Tensor]]  # of every process; "cpu" and, on a GPU, "cuda"
    average: dict[str, Any]  # of weights, SWA
    scaler: dict[str, Any]  # of the loss, in f16


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically. Raises StorageError."""
    p = checkpoint.progress
    value = {
        "schema": SCHEMA,
        "identity": checkpoint.identity,
        "progress": {name: getattr(p, name) for name in Progress.__dataclass_fields__},
        "model": checkpoint.model,
        "optimizer": checkpoint.optimizer,
        "rng": checkpoint.rng,
        "average": checkpoint.average,
        "scaler": checkpoint.scaler,
    }
    buffer = io.BytesIO()  # torch reports a full disk as RuntimeError; write_bytes as StorageError
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def load(path: Path) -> Checkpoint:
    """Read a checkpoint (tensors and plain values only). Raises InputError when it is not one."""
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
        if value["schema"] != SCHEMA:
            raise InputError(f"{path} has checkpoint schema {value['schema']}: {SCHEMA} is known.")
        return Checkpoint(
            identity=value["identity"],
            progress=Progress(**value["progress"]),
            model=value["model"],
            optimizer=value["optimizer"],
            rng=value["rng"],
            average=value["average"],
            scaler=value["scaler"],
        )
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: start the run without --resume.") from error
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is not a checkpoint that can be read ({reason}).") from error


def check_same_run(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise UsageError that names the first difference of recipe or data."""
    for key in sorted(saved.keys() | wanted.keys()):
        before, now = saved.get(key), wanted.get(key)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            keys = sorted(before.keys() | now.keys())
            inner = next(k for k in keys if before.get(k) != now.get(k))
            key, before, now = f"{key}.{inner}", before.get(inner), now.get(inner)
        raise UsageError(
            f"{path} was written by another run: {key} was {before!r}, is {now!r} now. "
            "Resume with the same recipe and data, or choose another --out."
        )
