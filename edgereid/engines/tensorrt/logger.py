"""TensorRT's log, kept instead of printed: its errors become the text of ours."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

KEPT = 20
#: Where in its own sources TensorRT speaks, and how it numbers its errors.
_NOISE = re.compile(
    r"^\d+: |\[?\w+\.cpp::\S+::\d+\]?:?\s*|^(?:\w+::)+\w+: |Error Code \d+: |"
    r"^In \w+ at \S+:\d+\s*"
)
#: Lines that only repeat that something failed.
_HOLLOW = re.compile(r"Engine deserialization failed|Deserialize the cuda engine failed")


class TensorRTError(Exception):
    """TensorRT did not do what it was asked; the engine turns it into an InputError."""


class Log:
    """What TensorRT said since ``clear``: the last errors and warnings, oldest first.

    ``sink`` is the logger to give to TensorRT; TensorRT keeps no reference of its own that Python
    knows of, so it must live as long as whatever was made with it.
    """

    def __init__(self, trt: Any) -> None:
        self._errors: deque[str] = deque(maxlen=KEPT)
        self._warnings: deque[str] = deque(maxlen=KEPT)
        self.sink = _sink(trt, self._errors, self._warnings)

    def clear(self) -> None:
        """Forget what was said so far."""
        self._errors.clear()
        self._warnings.clear()

    @property
    def raw(self) -> str:
        """The errors as TensorRT gave them, or its warnings where there is no error."""
        return "\n".join(self._errors or self._warnings)

    def reason(self) -> str:
        """Why the last call failed, in TensorRT's words on one line."""
        lines = [clean(line) for line in self._errors or self._warnings]
        telling = [line for line in dict.fromkeys(lines) if line and not _HOLLOW.search(line)]
        return "; ".join(telling or filter(None, lines)) or "TensorRT does not say why"


def clean(message: str) -> str:
    """A message of TensorRT without the positions in its sources, on one line."""
    return " ".join(_NOISE.sub("", message.strip()).split()).rstrip(".")


def _sink(trt: Any, errors: deque[str], warnings: deque[str]) -> Any:
    """A logger of TensorRT's kind that writes into the two. It must not raise: TensorRT calls it
    from C++."""
    kept = {
        trt.ILogger.INTERNAL_ERROR: errors,
        trt.ILogger.ERROR: errors,
        trt.ILogger.WARNING: warnings,
    }

    class Sink(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            into = kept.get(severity)
            if into is not None:
                into.append(str(msg))

    return Sink()
