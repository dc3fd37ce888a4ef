"""Power rails from ``tegrastats``, where the INA3221's own files cannot be read.

``tegrastats`` reads the same chips. It runs as a child process while somebody reads: the first
reading starts it, and it is ended once nobody has read for ``IDLE_S``, so that it takes no time
from what is measured later.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path

from edgereid.bench.energy.ina3221 import ina3221
from edgereid.bench.energy.meters import POWER, Found
from edgereid.bench.jetson.board import is_jetson
from edgereid.bench.jetson.stats import Rail, Stats
from edgereid.bench.jetson.tegrastats import MAX_CHARS, parse

PROGRAM = "usr/bin/tegrastats"
#: As often as a window samples its meters of power, so that readings are of different lines.
INTERVAL_MS = 50
IDLE_S = 5.0
#: A first line takes as long as the program needs to start; a later one is late after this.
PATIENCE_S, STALE_S = 5.0, 1.0
#: Rails that feed more than themselves; any other covers what its name says.
COVERS = {
    "VDD_IN": "the whole module",
    "POM_5V_IN": "the whole module",
    "VIN": "the whole board",
}


@dataclass(slots=True)
class _State:
    """The latest line and when it came; ``ended`` says why there will be no more."""

    stats: Stats | None = None
    at: float = 0.0
    asked: float = 0.0
    ended: str | None = None
    running: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)


class Tegrastats:
    """The child process and its latest line, shared by all rails."""

    def __init__(
        self, program: Path, interval_ms: int = INTERVAL_MS, idle_s: float = IDLE_S
    ) -> None:
        self._command = [str(program), "--interval", str(interval_ms)]
        self._idle_s = idle_s
        self._state = _State()

    @property
    def running(self) -> bool:
        return self._state.running

    def latest(self) -> Stats:
        """The latest whole line. Raises OSError when none comes, or none any more."""
        state = self._state
        with state.changed:
            state.asked = time.monotonic()
            if not state.running:
                self._start()
            state.changed.wait_for(lambda: state.stats is not None or state.ended, PATIENCE_S)
            if state.stats is None:
                raise OSError(f"tegrastats: {state.ended or f'no line within {PATIENCE_S:g} s'}")
            age = time.monotonic() - state.at
            if age > STALE_S:
                raise OSError(f"tegrastats: no new line for {age:.1f} s")
            return state.stats

    def _start(self) -> None:
        child = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            encoding="ascii",
            errors="replace",
        )
        weakref.finalize(self, child.kill)  # at the latest when this process ends
        self._state.stats, self._state.ended, self._state.running = None, None, True
        threading.Thread(
            target=_follow, args=(child, self._state, self._idle_s), daemon=True
        ).start()


def _follow(child: subprocess.Popen[str], state: _State, idle_s: float) -> None:
    """Keep the latest line until the child ends or nobody has asked for ``idle_s``."""
    assert child.stdout is not None
    idle = False
    with child:
        while not idle and (text := child.stdout.readline(MAX_CHARS)):
            with state.changed:
                if text.endswith("\n"):  # the last number of a line that was cut off is no number
                    state.stats, state.at = parse(text), time.monotonic()
                    state.changed.notify_all()
                idle = time.monotonic() - state.asked > idle_s
        _end(child, at_once=idle)
    with state.changed:
        state.stats, state.running = None, False
        state.ended = f"ended with exit code {child.returncode}"
        state.changed.notify_all()


def _end(child: subprocess.Popen[str], at_once: bool) -> None:
    """A child that has closed its output is given a second to end by itself."""
    try:
        if not at_once:
            child.wait(1.0)
    except subprocess.TimeoutExpired:
        pass
    child.kill()


@dataclass(frozen=True, slots=True)
class TegrastatsRail:
    """One rail, as the latest line has it."""

    rail: str
    source: Tegrastats
    kind: str = POWER
    wraps_at: float | None = None

    @property
    def name(self) -> str:
        return f"tegrastats {self.rail}"

    @property
    def covers(self) -> str:
        return COVERS.get(self.rail, "this rail")

    def read(self) -> float:
        """Watts. Raises OSError when the line does not have this rail."""
        found = [r.now for r in self.source.latest().rails if r.name == self.rail]
        if not found:
            raise OSError(f"tegrastats: the line has no {self.rail}")
        return found[0] / 1e3


def tegrastats(root: Path = Path("/")) -> Found:
    """The rails that ``tegrastats`` prints on a Jetson; none where the INA3221 can be read
    directly, and nothing at all on any other machine. ``root`` is where ``usr`` and ``sys`` are."""
    if not is_jetson(root) or ina3221(root).meters:
        return Found()
    program = root / PROGRAM
    if not program.is_file():
        return Found(absent=(f"tegrastats: {program} is not there",))
    source = Tegrastats(program)
    try:
        rails: tuple[Rail, ...] = source.latest().rails
    except OSError as error:
        return Found(absent=(str(error),))
    if not rails:
        return Found(absent=("tegrastats: it prints no power here (as root it may)",))
    return Found(tuple(TegrastatsRail(rail.name, source) for rail in rails))
