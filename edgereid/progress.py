"""Progress with an estimate on a terminal; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], *, label: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items``; on a terminal show a bar with the time left on standard error."""
    if not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, desc=label, total=total, dynamic_ncols=True, leave=False)


def note(message: str) -> None:
    """One line for a person, on standard error, so that standard output stays machine-readable."""
    print(message, file=sys.stderr, flush=True)
