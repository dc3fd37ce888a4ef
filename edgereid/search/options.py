"""What a user may choose when searching. Light: the command line reads it for its help."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from edgereid.errors import UsageError
from edgereid.export.targets import is_arm

TARGETS = ("onnxruntime", "onnxruntime-arm", "openvino")
#: Minutes when the user names none: for networks whose float engine takes no more than ``SLOW_MS``
#: an image, and for others.
DEFAULT_MINUTES = (12.0, 45.0)
SLOW_MS = 50.0


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """One search. ``max_drop``: points of mAP; ``minutes`` None: by the float engine's latency;
    ``state``: where progress is kept, None: nowhere."""

    max_drop: float
    minutes: float | None = None
    batch: int = 1
    seed: int = 0
    state: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.max_drop <= 100:
            raise UsageError(
                f"--max-drop {self.max_drop}: above 0 and up to 100 points of mAP are allowed."
            )
        if self.minutes is not None and not 0 < self.minutes <= 1440:
            raise UsageError(f"--search-minutes {self.minutes}: above 0 and up to 1,440 allowed.")
        if not 1 <= self.batch <= 256:
            raise UsageError(f"batch size {self.batch}: from 1 to 256 are allowed.")


def measurable() -> tuple[str, ...]:
    """The targets whose latency can be measured on this processor."""
    arm = is_arm(platform.machine())
    return tuple(t for t in TARGETS if arm or t != "onnxruntime-arm")


def require_target(target: str) -> None:
    """Raise UsageError unless latency can be measured for this target here."""
    if target not in measurable():
        raise UsageError(
            f"precisions are searched on an engine that runs here: name --target "
            f"{' or '.join(measurable())}, not {target}."
        )
