"""What ``edgereid build`` is asked for. Light: the command line reads it for its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgereid.errors import UsageError

PRECISIONS = ("int8", "f16", "f32")
TYPINGS = ("auto", "weak", "strong")
MAX_BATCH = 4096
MAX_WORKSPACE_MIB = 2**20
LEVELS = range(6)


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of an optimisation profile: the smallest and the largest that the plan takes,
    and the one it is tuned for. Raises UsageError."""

    smallest: int
    tuned: int
    largest: int

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.tuned <= self.largest <= MAX_BATCH:
            raise UsageError(
                f"batches {self}: three rising numbers from 1 to {MAX_BATCH} are needed, "
                "MIN,OPT,MAX."
            )

    def __str__(self) -> str:
        return f"{self.smallest},{self.tuned},{self.largest}"

    @staticmethod
    def parse(text: str) -> Batches:
        """ "1,8,32", or "4" for a plan of one batch. Raises UsageError."""
        words = text.split(",")
        try:
            numbers = [int(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            numbers *= 3
        if len(numbers) != 3:
            raise UsageError(f"batches {text!r:.60}: MIN,OPT,MAX or one number is needed.")
        return Batches(*numbers)


DEFAULT_BATCHES = Batches(1, 8, 32)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """One build. ``path``: a bundle, a file in it, or a bare ONNX file; ``out``: the plan's name in
    the bundle (None: engine.plan), for a bare ONNX file the bundle to make; ``precision`` None:
    INT8 where there is a Q/DQ network, else FP16; ``batches`` None: ``usual_batches``;
    ``workspace``: MiB of device memory for the builder's scratch space; ``level`` None: TensorRT's
    own; ``timing_cache`` None: the user's, of this device and release; ``dla``: the core to use.
    Raises UsageError."""

    path: Path
    out: Path | None = None
    precision: str | None = None
    typing: str = "auto"
    batches: Batches | None = None
    workspace: int = 1024
    level: int | None = None
    timing_cache: Path | None = None
    dla: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    calibration_cache: Path | None = None
    overwrite: bool = False
    command: tuple[str, ...] = ()  # as the user typed it, for the manifest

    def __post_init__(self) -> None:
        for name, value, known in (
            ("precision", self.precision or PRECISIONS[0], PRECISIONS),
            ("typing", self.typing, TYPINGS),
        ):
            if value not in known:
                raise UsageError(f"unknown {name} {value!r:.40}: {', '.join(known)} are known.")
        if not 1 <= self.workspace <= MAX_WORKSPACE_MIB:
            raise UsageError(f"a workspace of {self.workspace} MiB: 1 to {MAX_WORKSPACE_MIB}.")
        if self.level is not None and self.level not in LEVELS:
            raise UsageError(f"level {self.level}: TensorRT has the levels 0 to {LEVELS[-1]}.")
        if self.dla is not None and self.dla < 0:
            raise UsageError(f"DLA core {self.dla}: they are counted from 0.")
        if self.dla is not None and self.precision == "f32":
            raise UsageError("a DLA computes in FP16 and INT8 only: leave --fp32 out.")
        wanted = self.batches
        if self.dla is not None and wanted is not None and wanted.smallest != wanted.largest:
            raise UsageError(
                f"a DLA takes one batch size, not {wanted}: give one, as in --batch {wanted.tuned} "
                "(larger batches are then run in parts, smaller ones filled up)."
            )

    @property
    def usual_batches(self) -> Batches:
        """For a network of any batch where none is asked for: a DLA knows no open sizes, and the
        builder would put everything on the GPU without a word."""
        return DEFAULT_BATCHES if self.dla is None else Batches(1, 1, 1)
