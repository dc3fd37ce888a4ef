"""What a format wants written, before anything is: texts, copies, and what a user must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Output:
    """Names are relative to the output directory, with ``/``.

    ``contents``: bytes to write; ``copies``: files to copy; ``scripts``: names among the contents
    that get the right to be executed; ``notes``: one line each, for the user and the record.
    """

    contents: Mapping[str, bytes]
    copies: Mapping[str, Path] = field(default_factory=dict)
    scripts: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
