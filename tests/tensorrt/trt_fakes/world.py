"""What the parts of one installed fake share."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trt_fakes.api import Api
from trt_fakes.gpu import Gpu
from trt_fakes.options import Failures


def _nothing() -> None:
    return None


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
    #: The one logger of the process, as C++ holds it: without keeping it alive.
    logger: Callable[[], Any] = field(default=_nothing)
    users: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)

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

    def use(self, user: Any, logger: Any) -> None:
        """A builder or runtime begins to use TensorRT. The first one's logger is everybody's until
        the last of them is gone (NVIDIA/TensorRT issues 1475 and 1539)."""
        if not self.users:
            self.logger = weakref.ref(logger)
        self.users.add(user)
        if self.logger() is not logger:
            self.log(
                logger,
                "WARNING",
                "The logger passed into createInferRuntime differs from one already registered for "
                "an existing builder, runtime, or refitter. So the current new logger is ignored, "
                "and TensorRT will use the existing one which is returned by nvinfer1::getLogger() "
                "instead.",
            )

    def log(self, logger: Any, severity: str, text: str) -> None:
        """Give a message to the logger that is registered, as C++ does: every severity, through
        ``log``. ``logger``: the one to give it to before any is."""
        self.messages.append((severity, text))
        into = self.logger() if self.users else logger
        if into is None:
            self.gpu.misuse.append("the logger was dropped while TensorRT still used it")
            return
        into.log(self.types["ILogger"].Severity.__members__[severity], text)

    def error(self, logger: Any, text: str) -> None:
        self.log(logger, "ERROR", text)
