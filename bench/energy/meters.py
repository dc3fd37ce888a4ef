"""What a meter of energy or power is, whoever makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: The two kinds: joules since some start, or watts now.
ENERGY, POWER = "energy", "power"


class Meter(Protocol):
    """Something that can be read again and again.

    ``kind`` is ``ENERGY`` (``read`` gives joules since some start, and begins again at zero after
    ``wraps_at`` joules, None: never) or ``POWER`` (``read`` gives the watts of now). ``covers``
    says in words what the figure includes.
    """

    @property
    def name(self) -> str: ...

    @property
    def covers(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def wraps_at(self) -> float | None: ...

    def read(self) -> float:
        """Joules or watts. Raises OSError or ValueError when the meter does not tell."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """The meters of this machine, and what is absent: a sentence each, without a full stop."""

    meters: tuple[Meter, ...] = ()
    absent: tuple[str, ...] = ()

    def __add__(self, other: Found) -> Found:
        return Found(self.meters + other.meters, self.absent + other.absent)


def number(path: Path) -> float:
    """The number in a file of the kernel; raises OSError or ValueError."""
    return float(path.read_text(encoding="ascii", errors="replace"))


def word(path: Path) -> str:
    """The text in a file of the kernel, empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""
