"""One process, or several that share the work under torchrun: what each has to do.

Every process takes contiguous blocks of whole batches, the batches of a single process's run, so
the engine sees the same batches and the features are the same bits.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import MissingRuntimeError, UsageError

T = TypeVar("T")
N = TypeVar("N", np.float32, np.uint8)
#: How long a process waits for the slowest of the others. One that ends is noticed at once.
WAIT = timedelta(minutes=30)
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def share(count: int, batch: int, rank: int, size: int) -> range:
    """The images of process ``rank`` of ``size``: whole batches, as even as these allow."""
    batches = -(-count // batch)
    first, last = batches * rank // size, batches * (rank + 1) // size
    return range(min(first * batch, count), min(last * batch, count))


class Group(ABC):
    """The processes that evaluate together; process 0 scores and reports."""

    rank: int = 0
    size: int = 1

    @abstractmethod
    def together(self, work: Callable[[], T]) -> T:
        """``work()`` here; raises, in every process, when it failed in any of them."""

    @abstractmethod
    def check_same(self, facts: Mapping[str, str]) -> None:
        """Raises UsageError, in every process, that names the first fact that is not the same."""

    @abstractmethod
    def gather(self, values: NDArray[N]) -> NDArray[N]:
        """The rows (N, D) of all processes in order of their ranks; only process 0 gets them all,
        the others what they gave."""

    @abstractmethod
    def collect(self, value: float) -> list[float]:
        """A number of every process, in order of their ranks."""


class Alone(Group):
    """One process."""

    def together(self, work: Callable[[], T]) -> T:
        return work()

    def check_same(self, facts: Mapping[str, str]) -> None:
        """Nothing to compare."""

    def gather(self, values: NDArray[N]) -> NDArray[N]:
        return values

    def collect(self, value: float) -> list[float]:
        return [value]


@contextmanager
def join(wait: timedelta = WAIT) -> Iterator[Group]:
    """The group that the environment names (WORLD_SIZE and its like, as torchrun sets them).

    Raises UsageError when the environment is incomplete or the others do not come,
    MissingRuntimeError when there are others and PyTorch is not installed.
    """
    environment = {name: os.environ.get(name, "") for name in _VARIABLES}
    if environment["WORLD_SIZE"] in ("", "1"):
        yield Alone()
        return
    rank, size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if not all(environment.values()) or not 0 <= rank < size:
        given = " ".join(f"{name}={value}" for name, value in environment.items())
        raise UsageError(f"{given}: not what torchrun sets; start with torchrun, or unset them.")
    try:
        from edgereid.evaluation.shard import Processes
    except ModuleNotFoundError as error:
        raise MissingRuntimeError(
            'several processes need torch to talk: pip install "edgereid[train]".'
        ) from error
    with Processes.started(rank, size, wait) as group:
        yield group


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    return int(text) if text.isascii() and text.isdigit() else -1
