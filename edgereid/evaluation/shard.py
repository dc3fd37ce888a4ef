"""Several processes over gloo: failures and features travel, nothing that runs code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from edgereid.engines.vendor import one_line
from edgereid.errors import EdgeReidError, UsageError
from edgereid.evaluation.group import Group

T = TypeVar("T")
N = TypeVar("N", np.float32, np.uint8)
_MESSAGE_BYTES = 4096


class Processes(Group):
    """The process group of ``torch.distributed``."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    @staticmethod
    @contextmanager
    def started(rank: int, size: int, wait: timedelta) -> Iterator[Processes]:
        """Meet the other processes. Raises UsageError when they do not come within ``wait``."""
        with _told("the processes did not find each other"):
            dist.init_process_group("gloo", rank=rank, world_size=size, timeout=wait)
        try:
            yield Processes(rank, size)
        finally:
            dist.destroy_process_group()

    def together(self, work: Callable[[], T]) -> T:
        failure: Exception | None = None
        found: list[T] = []
        try:
            found.append(work())
        except Exception as error:  # told to the others before it goes on
            failure = error
        states = self._exchange("" if failure is None else f"!{one_line(failure)}")
        if failure is not None:
            raise failure
        for rank, state in enumerate(states):
            if state:
                raise UsageError(f"process {rank} of {self.size} failed: {state[1:]}")
        return found[0]

    def check_same(self, facts: Mapping[str, str]) -> None:
        others = [json.loads(text) for text in self._exchange(json.dumps(dict(facts)))]
        for name in facts:
            for rank, other in enumerate(others):
                if other.get(name) != others[0].get(name):
                    raise UsageError(
                        f"process {rank} has other {name} than process 0: all need the same files, "
                        "options and versions."
                    )

    def gather(self, values: NDArray[N]) -> NDArray[N]:
        with _told("another process ended before its features came"):
            shapes = [torch.zeros(2, dtype=torch.int64) for _ in range(self.size)]
            dist.all_gather(shapes, torch.tensor(values.shape, dtype=torch.int64))
            if self.rank:
                if values.size:
                    whole = np.require(values, requirements=["C", "W"])  # torch wants both
                    dist.send(torch.from_numpy(whole), dst=0)
                return values
            parts = [values]
            for rank in range(1, self.size):
                part = np.empty(tuple(map(int, shapes[rank])), dtype=values.dtype)
                if part.size:
                    dist.recv(torch.from_numpy(part), src=rank)
                parts.append(part)
        return np.concatenate([part for part in parts if len(part)] or [values])

    def collect(self, value: float) -> list[float]:
        with _told("another process ended"):
            found = [torch.zeros(1, dtype=torch.float64) for _ in range(self.size)]
            dist.all_gather(found, torch.tensor([value], dtype=torch.float64))
        return [float(v) for v in found]

    def _exchange(self, text: str) -> list[str]:
        """A short text of every process, in order of their ranks."""
        data = text.encode()[:_MESSAGE_BYTES].ljust(_MESSAGE_BYTES, b"\0")
        with _told("another process ended, or was too slow"):
            found = [torch.zeros(_MESSAGE_BYTES, dtype=torch.uint8) for _ in range(self.size)]
            dist.all_gather(found, torch.frombuffer(bytearray(data), dtype=torch.uint8))
        return [bytes(t.tolist()).rstrip(b"\0").decode(errors="replace") for t in found]


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Report what gloo raises as one line; ``dist`` raises RuntimeError and its children."""
    try:
        yield
    except EdgeReidError:
        raise
    except (RuntimeError, ValueError, OSError) as error:
        raise UsageError(f"{what}: {one_line(error)}") from error
