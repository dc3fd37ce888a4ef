"""How far a build is, and how it is stopped.

TensorRT reports nested phases of known numbers of steps. A phase's share of its parent is one of
the parent's steps, so the tree gives one number from 0 to 1.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from edgereid.progress import note


@dataclass(slots=True)
class _Phase:
    parent: str | None
    steps: int
    done: float = 0.0
    children: dict[str, float] = field(default_factory=dict)  # running ones: name -> share done


class Phases:
    """The tree of running phases. It believes nothing: unknown names, steps beyond the last and
    phases that start twice leave the share within 0..1, and it never goes back."""

    def __init__(self) -> None:
        self._running: dict[str, _Phase] = {}
        self._share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        known = parent if parent in self._running and parent != name else None
        self._running[name] = _Phase(known, max(1, steps))
        self._report(name, 0.0)

    def step(self, name: str, step: int) -> None:
        """Step number ``step``, from 0, of a phase is done."""
        if name in self._running:
            phase = self._running[name]
            phase.done = max(phase.done, step + 1)
            self._report(name, self._of(phase))

    def finish(self, name: str) -> None:
        phase = self._running.pop(name, None)
        if phase is None:
            return
        if phase.parent in self._running:
            self._running[phase.parent].children.pop(name, None)
        elif phase.parent is None:
            self._share = 1.0

    @property
    def share(self) -> float:
        """How much of the build is done, 0..1."""
        return self._share

    @staticmethod
    def _of(phase: _Phase) -> float:
        within = max(phase.children.values(), default=0.0)
        return min(1.0, (phase.done + within) / phase.steps)

    def _report(self, name: str, share: float) -> None:
        """Carry a phase's share up to the root."""
        seen = {name}
        parent = self._running[name].parent
        while parent in self._running and parent not in seen:
            seen.add(parent)
            above = self._running[parent]
            above.children[name] = share
            name, share, parent = parent, self._of(above), above.parent
        self._share = max(self._share, min(share, 1.0))


@dataclass(slots=True)
class Interruption:
    """``asked``: Ctrl-C was pressed since the work began."""

    asked: bool = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was; to be called where TensorRT is not on the stack."""
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def interruptible(can_stop: bool) -> Iterator[Interruption]:
    """Let Ctrl-C end work with TensorRT in an orderly way; KeyboardInterrupt is raised behind the
    block at the latest.

    TensorRT calls loggers and monitors from C++, through which no exception may pass, so Ctrl-C
    only leaves a mark that the monitor hands on. ``can_stop``: there is such a monitor. A second
    Ctrl-C ends the process at once; nothing is on the disk yet.
    """
    state = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if state.asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        state.asked = True
        when = "stopping" if can_stop else "this TensorRT cannot stop a build: it ends first"
        note(f"{when}; Ctrl-C again ends the process at once. Nothing is written.")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield state
    finally:
        signal.signal(signal.SIGINT, before)
    state.check()


def make_monitor(trt: Any, interruption: Interruption, draw: Callable[[float], None]) -> Any:
    """A ``trt.IProgressMonitor`` that gives ``draw`` the share done, 0..1, and stops the build once
    Ctrl-C was pressed."""
    phases = Phases()
    # A builder may report from several threads of its own, and nothing may be raised into it.
    lock = threading.Lock()

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with lock:
                phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with lock:
                phases.step(phase_name, step)
                draw(phases.share)
            return not interruption.asked

        def phase_finish(self, phase_name: str) -> None:
            with lock:
                phases.finish(phase_name)
                draw(phases.share)

    return Monitor()


@contextmanager
def bar(label: str) -> Iterator[Callable[[float], None]]:
    """Draws a share, 0..1, with the time left; on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(desc=label, total=1.0, dynamic_ncols=True, leave=False, bar_format=form) as shown:

        def draw(share: float) -> None:
            with suppress(OSError, ValueError):  # a terminal that went away ends no build
                shown.update(share - shown.n)

        yield draw
