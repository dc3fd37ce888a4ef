"""The parts that only hold something: shapes, memory, loggers, profilers, errors."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterator
from typing import Any

from trt_fakes.binding import Part


class Dims(Part):
    """A shape: compares with tuples and lists only, and has no hash, as the real one."""

    MAX = 8

    def _start(self, shape: Any = ()) -> None:
        self._sizes = tuple(int(s) for s in shape)
        if len(self._sizes) > self.MAX:
            raise ValueError(f"Input length {len(self._sizes)}. Max expected length is {self.MAX}")

    def _get_MAX_DIMS(self) -> int:  # noqa: N802
        return self.MAX

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[int]:
        return iter(self._sizes)

    def __getitem__(self, index: Any) -> Any:
        try:
            return self._sizes[index]
        except IndexError:
            raise IndexError("Out of bounds") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, list)):
            raise TypeError("__eq__(): incompatible function arguments: list or tuple")
        return self._sizes == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._sizes)


class _Buffer(array.array):  # type: ignore[type-arg]
    """Bytes with the buffer protocol and nothing else of an array."""


def host_memory_class(dtype: Any) -> type:
    """IHostMemory: ``memoryview``, ``bytes`` and writing to a file work; ``len`` does not."""
    allowed = {"dtype": dtype, "nbytes": None}

    def get(self: Any, name: str) -> Any:
        if name == "nbytes":
            return array.array.__len__(self)
        if name == "dtype":
            return dtype
        if name.startswith("__") and name not in ("__len__", "__getitem__", "__iter__"):
            return object.__getattribute__(self, name)
        raise AttributeError(f"'tensorrt.IHostMemory' object has no attribute {name!r}")

    def refuse(self: Any, *args: Any) -> Any:
        raise TypeError("object of type 'tensorrt.IHostMemory' has no such operation")

    space = {"__getattribute__": get, "__dir__": lambda self: sorted(allowed)}
    space |= dict.fromkeys(("__len__", "__getitem__", "__iter__", "__contains__"), refuse)
    return type("IHostMemory", (_Buffer,), space)


class ILogger(Part):
    """What code derives its loggers from; ``log`` gets every message."""

    def _do_log(self, severity: Any, msg: str) -> None:
        """Code that derives from it overrides this."""


LETTERS = {"INTERNAL_ERROR": "F", "ERROR": "E", "WARNING": "W", "INFO": "I", "VERBOSE": "V"}


class Logger(ILogger):
    """The ready-made one: errors on stderr, the rest on stdout, as the real one prints them."""

    def _start(self, min_severity: Any) -> None:
        self._minimum = min_severity

    def _get_min_severity(self) -> Any:
        return self._minimum

    def _set_min_severity(self, value: Any) -> None:
        self._minimum = value

    def _do_log(self, severity: Any, msg: str) -> None:
        if int(severity) <= int(self._minimum):
            stream = sys.stderr if int(severity) <= 1 else sys.stdout
            stream.write(f"[01/01/2030-00:00:00] [TRT] [{LETTERS[severity.name]}] {msg}\n")


class IProfiler(Part):
    """What code derives its profilers from."""

    def _do_report_layer_time(self, layer_name: str, ms: float) -> None:
        raise RuntimeError('Tried to call pure virtual function "IProfiler::reportLayerTime"')


class Profiler(IProfiler):
    """The ready-made one prints."""

    def _do_report_layer_time(self, layer_name: str, ms: float) -> None:
        sys.stdout.write(f"{layer_name}: {ms}ms\n")


class IProgressMonitor(Part):
    """What code derives its monitors from."""


class ParserError(Part):
    """One error of the parser."""

    def _start(self, error: Any) -> None:
        self._error = error

    def _do_code(self) -> Any:
        members = self._world.types["ErrorCode"].__members__
        return members.get(self._error.code, members["INTERNAL_ERROR"])

    def _do_desc(self) -> str:
        return str(self._error.text)

    def _do_node(self) -> int:
        return int(self._error.node)

    def _do_node_name(self) -> str:
        return str(self._error.name)

    def _do_node_operator(self) -> str:
        return str(self._error.op)

    def _do_file(self) -> str:
        return "ModelImporter.cpp"

    def _do_func(self) -> str:
        return "parseNode"

    def _do_line(self) -> int:
        return 1

    def _do_local_function_stack(self) -> list[str]:
        return []

    def _do_local_function_stack_size(self) -> int:
        return 0

    def __str__(self) -> str:
        where = f"In node {self._error.node} with name: {self._error.name} and operator: "
        return f"{where}{self._error.op} (parseNode): {self._error.code}: {self._error.text}"
