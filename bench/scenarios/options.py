"""What a user may choose about the scenarios."""

from __future__ import annotations

from dataclasses import dataclass

from edgereid.errors import UsageError

SINGLE_STREAM = "single-stream"
MULTI_STREAM = "multi-stream"
OFFLINE = "offline"
SERVER = "server"
START = "start"
NAMES = (SINGLE_STREAM, MULTI_STREAM, OFFLINE, SERVER, START)
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the highest rate is looked for. ``trial_s`` limits a trial, ``verify_s`` is the length of
    the run that confirms the rate found; ``tolerance`` is a share of the rate."""

    bound_ms: float
    percentile: int = 99
    max_batch: int = 1
    trial_s: float = 30.0
    verify_s: float = 60.0
    tolerance: float = 0.05
    max_trials: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.bound_ms < 3_600_000:
            raise UsageError(f"a latency bound of {self.bound_ms} ms: above 0 is needed.")
        if self.percentile not in PERCENTILES:
            allowed = ", ".join(map(str, PERCENTILES))
            raise UsageError(f"percentile {self.percentile} is not known. Known: {allowed}.")
        if not 1 <= self.max_batch <= 1024:
            raise UsageError(f"batches up to {self.max_batch}: 1 to 1024 are allowed.")
        for name in ("trial_s", "verify_s"):
            if not 0 < getattr(self, name) < 86_400:
                raise UsageError(f"{name} {getattr(self, name)}: above 0 s, up to a day.")
        if not 0.001 <= self.tolerance < 1 or not 1 <= self.max_trials <= 100:
            raise UsageError("tolerance: 0.001 to 1; trials: 1 to 100.")


@dataclass(frozen=True, slots=True)
class ScenarioOptions:
    """Which scenarios, and their sizes. ``frame``: crops a camera's frame holds; ``pool``: images
    of the offline scenario; ``threads``: numbers of threads of the sweep, none for no sweep."""

    names: tuple[str, ...] = ()
    frame: int = 8
    pool: int = 64
    server: ServerOptions | None = None
    threads: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in NAMES]
        if unknown:
            raise UsageError(f"unknown scenario {unknown[0]!r}. Known: {', '.join(NAMES)}.")
        if not self.names and not self.threads:
            raise UsageError("no scenario and no thread sweep: name one.")
        if SERVER in self.names and self.server is None:
            raise UsageError("the server scenario needs a bound: give --latency-bound MS.")
        if not 1 <= self.frame <= 1024 or not 1 <= self.pool <= 65_536:
            raise UsageError(
                f"a frame of {self.frame} crops, a pool of {self.pool}: 1 to 1024 and 1 to 65,536 "
                "are allowed."
            )
        if any(t < 1 for t in self.threads):
            raise UsageError(f"threads {self.threads}: at least 1 is needed.")
