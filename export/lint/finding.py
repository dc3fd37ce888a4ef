"""What a rule is, and what it reports. Plain data; nothing here looks at a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgereid.export.lint.targets import Target
    from edgereid.export.lint.view import View

ERROR = "error"  # the runtime refuses the file, or computes something else than was meant
WARNING = "warning"  # it runs, but slower or less accurately than it could
NOTE = "note"  # for whoever builds the engine; nothing in the file is wrong
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a rule is not kept. ``allowed``: empty where the rule's own text says it."""

    node: str
    tensor: str
    got: str
    allowed: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``severity`` by target's name; where a target is not named, it does not apply."""

    id: str
    checks: str
    allowed: str
    do: str
    why: str
    source: str
    severity: Mapping[str, str]
    check: Callable[[View, Target], Iterator[Violation]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation with all that a reader needs to mend it."""

    rule: str
    severity: str
    node: str
    tensor: str
    got: str
    allowed: str
    do: str
    why: str
    source: str

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}
