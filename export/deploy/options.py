"""What ``edgereid deploy`` is asked for: common options, and a few of each format's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgereid.errors import UsageError

MAX_BATCH = 4096
MAX_WORKSPACE_MIB = 2**20
#: Triton serves a model under its directory's name, which is a part of a URL.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
#: Tracker of DeepStream -> ``reidType``: features for association (1), for re-association (2).
TRACKERS = {"nvdcf": 2, "nvdeepsort": 1}
#: Type -> ``networkMode``.
NETWORK_MODES = {"f32": 0, "f16": 1, "int8": 2}
#: How mean and std reach the network where a host has one scale for all channels.
NORMALISATIONS = ("exact", "fold", "approximate")


@dataclass(frozen=True, slots=True)
class TritonOptions:
    """``name``: of the model in the repository (None: the network's); ``instances`` of it run at
    once; a request waits at most ``queue_delay_us`` microseconds for others to share its batch.
    Raises UsageError."""

    name: str | None = None
    instances: int = 1
    queue_delay_us: int = 1000

    def __post_init__(self) -> None:
        if self.name is not None and not MODEL_NAME.fullmatch(self.name):
            raise UsageError(
                f"Triton cannot serve a model named {self.name!r:.60}: 1 to 128 letters, digits, "
                "'.', '_' or '-' are allowed, the first a letter or a digit."
            )
        _whole("instances", self.instances, 1, 1024)
        _whole("queue_delay_us", self.queue_delay_us, 0, 10_000_000)


@dataclass(frozen=True, slots=True)
class DeepStreamOptions:
    """``tracker``: whose configuration the section goes into; ``precision``: None follows the
    file, FP16 for a float network; ``normalisation``: a word of ``NORMALISATIONS``. Raises
    UsageError."""

    tracker: str = "nvdcf"
    precision: str | None = None
    normalisation: str = "exact"
    workspace_mib: int = 1024

    def __post_init__(self) -> None:
        _one_of("tracker", self.tracker, tuple(TRACKERS))
        if self.precision is not None:
            _one_of("precision", self.precision, tuple(NETWORK_MODES))
        _one_of("normalisation", self.normalisation, NORMALISATIONS)
        _whole("workspace_mib", self.workspace_mib, 1, MAX_WORKSPACE_MIB)


@dataclass(frozen=True, slots=True)
class TrtexecOptions:
    """``opt_batch``: what the plan is tuned for (None: 8, or the largest batch if that is less).
    Raises UsageError."""

    opt_batch: int | None = None
    workspace_mib: int = 1024

    def __post_init__(self) -> None:
        if self.opt_batch is not None:
            _whole("opt_batch", self.opt_batch, 1, MAX_BATCH)
        _whole("workspace_mib", self.workspace_mib, 1, MAX_WORKSPACE_MIB)


FormatOptions = TritonOptions | DeepStreamOptions | TrtexecOptions

#: What can be named with ``--format``.
FORMATS: dict[str, type[TritonOptions] | type[DeepStreamOptions] | type[TrtexecOptions]] = {
    "triton": TritonOptions,
    "deepstream": DeepStreamOptions,
    "trtexec": TrtexecOptions,
}


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """``bundle``: its directory, or the engine in it that is meant; ``out``: a directory that does
    not exist yet, or with ``overwrite`` one that an earlier call wrote. Raises UsageError."""

    bundle: Path
    out: Path
    own: FormatOptions
    max_batch: int = 32
    overwrite: bool = False

    def __post_init__(self) -> None:
        _whole("max_batch", self.max_batch, 1, MAX_BATCH)
        if isinstance(self.own, TrtexecOptions) and (self.own.opt_batch or 1) > self.max_batch:
            raise UsageError(
                f"opt_batch {self.own.opt_batch} is larger than max_batch {self.max_batch}."
            )

    @property
    def format(self) -> str:
        return next(name for name, kind in FORMATS.items() if kind is type(self.own))


def _whole(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} {value} is outside {low}..{high}.")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} {value!r:.40} is unknown: {', '.join(allowed)}.")
