"""What the parts of one installed fake share."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from trt_fakes.api import Api
from trt_fakes.gpu import Gpu
from trt_fakes.options import Failures


@dataclass(slots=True)
class World:
    api: Api
    gpu: Gpu
    failures: Failures
    present: bool  # a GPU with its driver
    types: dict[str, Any] = field(default_factory=dict)
    executions: int = 0
    messages: list[tuple[str, str]] = field(default_factory=list)
    alive: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)
    sessions: dict[int, Any] = field(default_factory=dict)

    def make(self, kind: str, *values: Any) -> Any:
        """A part that code cannot construct itself."""
        cls = self.types[kind]
        made = cls.__new__(cls)
        made._started = True
        made._start(*values)
        self.alive.add(made)
        return made

    def enum(self, kind: str, name: str) -> Any:
        return self.types[kind].__members__[name]

    def dims(self, sizes: Any) -> Any:
        return self.types["Dims"](list(sizes))

    def log(self, logger: Any, severity: str, text: str) -> None:
        """Give a message to the code's logger, as C++ does: every severity, through ``log``."""
        self.messages.append((severity, text))
        logger.log(self.types["ILogger"].Severity.__members__[severity], text)

    def error(self, logger: Any, text: str) -> None:
        self.log(logger, "ERROR", text)
