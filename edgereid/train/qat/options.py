"""What a user may choose when training with fake quantisation. Light: no torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from edgereid.errors import UsageError

BACKENDS = ("torch", "pytorch-quantization", "modelopt")
RANGES = ("learned", "fixed")
TARGETS = ("onnxruntime", "onnxruntime-arm", "openvino", "tensorrt")


@dataclass(frozen=True, slots=True)
class Schedule:
    """``steps`` of ``batch`` images, at most at learning rate ``lr``; ``ranges`` of activations are
    learned too, or stay those of calibration."""

    steps: int = 300
    batch: int = 16
    lr: float = 2e-5
    ranges: str = RANGES[0]
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ranges not in RANGES:
            raise UsageError(f"unknown --ranges {self.ranges!r}: {', '.join(RANGES)} are known.")
        if self.steps < 1 or self.batch < 2 or self.seed < 0:
            raise UsageError(
                f"{self.steps} steps of {self.batch} images, seed {self.seed}: at least 1 step, "
                "2 images and seed 0 are needed."
            )
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise UsageError(f"--lr {self.lr}: a number above 0 is needed.")

    def lr_at(self, step: int) -> float:
        """Warm-up over a tenth of the steps, then a cosine down to zero."""
        warm = max(1, self.steps // 10)
        rest = (step - warm) / max(1, self.steps - warm)
        rise = (step + 1) / warm
        return self.lr * (rise if rise < 1 else 0.5 * (1 + math.cos(math.pi * max(0.0, rest))))


@dataclass(frozen=True, slots=True)
class QatOptions:
    """One training. ``weights`` None: the shipped ones; ``calibration``: a bundle or its
    calibration.json, None: ranges by ``method`` on ``images`` of the training images; ``threads``
    None: as many as this process may use."""

    network: str
    data: Path
    out: Path
    target: str = "openvino"
    backend: str = BACKENDS[0]
    weights: Path | None = None
    calibration: Path | None = None
    layout: str | None = None
    method: str = "mse"
    images: int = 256
    schedule: Schedule = Schedule()
    threads: int | None = None
    resume: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("target", self.target, TARGETS),
            ("backend", self.backend, BACKENDS),
        ):
            if value not in known:
                raise UsageError(f"unknown --{name} {value!r}: {', '.join(known)} are known.")
        if self.images < 1:
            raise UsageError(f"{self.images} calibration images: at least 1 is needed.")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"--threads {self.threads}: at least 1 is needed.")
