"""What a user may choose when exporting. Light: the command line reads it for its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgereid.errors import UsageError

TARGETS = ("onnxruntime", "openvino", "tensorrt")
CROPS = ("grid_sample", "matmul")  # as in edgereid.models.crops, which needs torch
METHODS = ("minmax", "percentile", "entropy", "mse")
DEFAULT_METHOD = "mse"
CALIBRATION_IMAGES = 256


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """One export. ``weights`` None: the shipped ones; ``calibration`` None: built-in images, which
    suit the shipped weights only; ``threads`` None: as many as this process may use; ``crop``: how
    hard attention crops its regions, None: as the network is made; ``flip``: the manifest says that
    an embedding is the mean with that of the mirror image."""

    network: str
    out: Path
    int8: bool = False
    target: str = "auto"
    weights: Path | None = None
    calibration: Path | None = None
    layout: str | None = None  # of the calibration dataset; None: recognised
    images: int = CALIBRATION_IMAGES
    allow_test_images: bool = False
    method: str = DEFAULT_METHOD
    percentile: float = 99.99
    seed: int = 0
    threads: int | None = None
    overwrite: bool = False
    crop: str | None = None
    flip: bool = False
    command: tuple[str, ...] = ()  # as the user typed it, for the manifest

    def __post_init__(self) -> None:
        if self.network.lower().endswith(".onnx"):
            raise UsageError(
                f"{self.network} is an ONNX file: edgereid exports its own networks by name so far "
                "(`edgereid export dslnet`)."
            )
        for name, value, known in (
            ("target", self.target, ("auto", *TARGETS)),
            ("crop", CROPS[0] if self.crop is None else self.crop, CROPS),
            ("method", self.method, METHODS),
        ):
            if value not in known:
                raise UsageError(f"unknown {name} {value!r}: {', '.join(known)} are known.")
        if self.int8 and self.weights is not None and self.calibration is None:
            raise UsageError(
                "--int8 with --weights needs --calib: the images that the weights were trained on."
            )
        if self.images < 1:
            raise UsageError(f"{self.images} calibration images: at least 1 is needed.")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads: at least 1 is needed.")


def default_out(network: str, int8: bool) -> Path:
    """The bundle's directory when none is named."""
    return Path(f"{network}-int8" if int8 else network)
