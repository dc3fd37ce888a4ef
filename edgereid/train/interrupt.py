"""Ctrl-C at a step boundary: the first one asks, a second one insists."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from edgereid.progress import note

if TYPE_CHECKING:
    from typing_extensions import Self


class StopRequested(KeyboardInterrupt):
    """Ctrl-C, met between two steps: the state is whole and can be saved."""


class Interrupt:
    """A context in which SIGINT only sets ``requested``; a second SIGINT raises KeyboardInterrupt.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._main:
            self._old = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._old)

    def check(self) -> None:
        """Raise StopRequested when a stop was asked for."""
        if self.requested:
            raise StopRequested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        note("interrupted: finishing this step, then saving (once more: stop now, unsaved).")
