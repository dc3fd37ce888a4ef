"""The power mode of ``nvpmodel``: which processors may run and how fast.

source: NVIDIA, Jetson Linux Developer Guide, "Supported Modes and Power Efficiency":
``/var/lib/nvpmodel/status`` keeps the mode's number, ``/etc/nvpmodel.conf`` its name.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.machine_files import Reading, file_text

_STATUS = re.compile(r"\bpmode:([0-9]{1,4})\b")
_MODE = re.compile(r"^\s*<\s*POWER_MODEL\s+ID=([0-9]{1,4})\s+NAME=(\S+)\s*>", re.MULTILINE)
_ANSWER = re.compile(r"NV Power Mode:[ \t]*(\S+)[ \t]*\r?\n\s*([0-9]{1,4})[ \t]*$", re.MULTILINE)
#: The start of the names of modes without a limit.
UNLIMITED = "MAXN"
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class PowerMode:
    """The mode's number, its name (None: nvpmodel.conf does not name it), and the number and name
    of a mode without limits, where this board has one."""

    number: int
    name: str | None
    unlimited: tuple[int, str] | None = None

    @property
    def limited(self) -> bool:
        """Another mode of this board has no limits and this one has."""
        return self.unlimited is not None and not (self.name or "").startswith(UNLIMITED)


def modes_in(conf: str) -> dict[int, str]:
    """Number -> name of the modes that an nvpmodel.conf defines, in its order."""
    return {int(number): name for number, name in _MODE.findall(conf)}


def answered(text: str) -> tuple[int, str]:
    """Number and name in what ``nvpmodel -q`` prints. Raises ValueError."""
    found = _ANSWER.search(text)
    if found is None:
        raise ValueError("nvpmodel -q names no mode")
    return int(found[2]), found[1]


def ask(command: Sequence[str]) -> str:
    """What a command prints. Raises OSError when it fails or takes more than 10 s."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} did not answer within {_PATIENCE_S:g} s") from error
    if done.returncode != 0:
        raise OSError(f"{command[0]} ended with exit code {done.returncode}")
    return done.stdout


def power_mode(root: Path = Path("/"), ask: Callable[[Sequence[str]], str] = ask) -> Reading:
    """A ``PowerMode``, or why there is none; the files first, then ``nvpmodel -q``."""
    modes = modes_in(file_text(root / "etc/nvpmodel.conf") or "")
    unlimited = next(((i, n) for i, n in modes.items() if n.startswith(UNLIMITED)), None)
    status = _STATUS.search(file_text(root / "var/lib/nvpmodel/status") or "")
    if status is not None:
        number = int(status[1])
        return Reading(PowerMode(number, modes.get(number), unlimited))
    program = root / "usr/sbin/nvpmodel"
    if not program.is_file():
        return Reading(None, "nvpmodel has left no status and is not installed")
    try:
        number, name = answered(ask([str(program), "-q"]))
    except (OSError, ValueError) as error:
        return Reading(None, str(error))
    return Reading(PowerMode(number, name, unlimited))
