"""One process, or several that train one network under torchrun.

The batch is the global one: process r of W takes the r-th of W equal parts of the rows, whole
people of an identity batch. Gradients are averaged, so that cross entropy is that of the global
batch; metric losses see the pairs of the process's own part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgereid.errors import EdgeReidError, UsageError

WAIT = timedelta(minutes=30)
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among ``size``; process 0 writes and reports."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """This process's rows of a batch; ``rows`` is a multiple of ``size``."""
        part = rows // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def mean_and_any(self, value: float, flag: bool) -> tuple[float, bool]:
        """The mean of a number over the processes, and whether any of them has the flag set."""
        if self.size == 1:
            return value, flag
        both = torch.tensor([value, float(flag)], dtype=torch.float64, device=self.device)
        dist.all_reduce(both)
        return float(both[0]) / self.size, bool(both[1] > 0)

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, in order of their ranks, in every process."""
        if self.size == 1:
            return [value]
        out: list[Any] = [None] * self.size
        dist.all_gather_object(out, value)
        return out

    def first_does(self, work: Callable[[], object]) -> None:
        """``work()`` in process 0 while the others wait; its error is raised in all of them."""
        error: EdgeReidError | None = None
        if self.first:
            try:
                work()
            except EdgeReidError as caught:
                error = caught
        found = self.gather(error)[0]
        if found is not None:
            raise found

    def wrap(self, module: nn.Module) -> nn.Module:
        """``module``, which computes a loss; with several processes gradients are averaged.

        The loss is computed within: an output outside of it would be waited for in vain.
        """
        if self.size == 1 or not any(p.requires_grad for p in module.parameters()):
            return module
        return DistributedDataParallel(module, find_unused_parameters=True)


def choose_device(name: str) -> torch.device:
    """``auto``: a GPU where there is one. Raises UsageError when ``cuda`` is asked for in vain."""
    if name not in DEVICES:
        raise UsageError(f"--device {name} is unknown: {', '.join(DEVICES)}.")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise UsageError("--device cuda: PyTorch sees no GPU here. Use --device cpu.")
    if name == "cpu" or not has_gpu:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """The processes that torchrun started (NCCL on GPUs, else Gloo), or this one alone.

    Raises UsageError when only a part of torchrun's variables is set.
    """
    chosen = choose_device(device)
    present = [v for v in _VARIABLES if v in os.environ]
    if "WORLD_SIZE" not in present or os.environ["WORLD_SIZE"] == "1":
        yield Processes(chosen)
        return
    missing = [v for v in _VARIABLES if v not in present]
    if missing:
        raise UsageError(f"WORLD_SIZE is set, {missing[0]} is not: start with torchrun.")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=WAIT)
    try:
        yield Processes(chosen, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
