"""TensorRT's log, kept instead of printed: its errors become the text of ours."""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
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


class _Said:
    """What TensorRT said in this process: errors and warnings, each with its number."""

    def __init__(self) -> None:
        self.count = 0
        self.errors: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self.warnings: deque[tuple[int, str]] = deque(maxlen=KEPT)


class Log:
    """What TensorRT said since ``clear``: the last errors and warnings, oldest first.

    ``sink`` is the logger to give to TensorRT. TensorRT holds one logger a process, the first, as a
    bare pointer, and its plugins hold theirs for good; therefore there is one for all, which is
    never dropped, and a Log only marks from where on it reads. Of engines that run at the same time
    in several threads each may read the others' errors, too.
    """

    def __init__(self, trt: Any) -> None:
        self.sink, self._said = _sink(trt)
        self._from = self._said.count

    def clear(self) -> None:
        """Forget what was said so far."""
        self._from = self._said.count

    @property
    def raw(self) -> str:
        """The errors as TensorRT gave them, or its warnings where there is no error."""
        return "\n".join(self._heard())

    def reason(self) -> str:
        """Why the last call failed, in TensorRT's words on one line."""
        lines = [clean(line) for line in self._heard()]
        telling = [line for line in dict.fromkeys(lines) if line and not _HOLLOW.search(line)]
        return "; ".join(telling or filter(None, lines)) or "TensorRT does not say why"

    def _heard(self) -> list[str]:
        errors, warnings = (
            [text for number, text in tuple(kept) if number >= self._from]
            for kept in (self._said.errors, self._said.warnings)
        )
        return errors or warnings


def clean(message: str) -> str:
    """A message of TensorRT without the positions in its sources, on one line."""
    return " ".join(_NOISE.sub("", message.strip()).split()).rstrip(".")


@lru_cache(maxsize=1)
def _sink(trt: Any) -> tuple[Any, _Said]:
    """A logger of TensorRT's kind, and what it writes into. It must not raise: TensorRT calls it
    from C++."""
    said = _Said()
    kept = {
        trt.ILogger.INTERNAL_ERROR: said.errors,
        trt.ILogger.ERROR: said.errors,
        trt.ILogger.WARNING: said.warnings,
    }

    class Sink(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            into = kept.get(severity)
            if into is not None:
                into.append((said.count, str(msg)))
                said.count += 1

    return Sink(), said
