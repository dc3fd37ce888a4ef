"""What a user may choose when exporting. Light: the command line reads it for its help."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgereid.errors import UsageError
from edgereid.export.incoming.options import IncomingOptions
from edgereid.export.repair.options import RepairOptions

#: The runtime that runs a target's engines.
RUNTIME_OF = {
    "onnxruntime": "onnxruntime",
    "onnxruntime-arm": "onnxruntime",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
}
TARGETS = tuple(RUNTIME_OF)
CROPS = ("grid_sample", "matmul")  # as in edgereid.models.crops, which needs torch
METHODS = ("minmax", "average", "percentile", "entropy", "mse", "auto", "best")
DEFAULT_METHOD = "best"
CALIBRATION_IMAGES = 256


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """One export. ``network``: a registered name, or the path of an ONNX file, of which
    ``incoming`` says how it is to be read. ``weights`` None: the shipped ones; ``calibration``
    None: built-in images, which suit the shipped weights only; ``threads`` None: as many as this
    process may use; ``crop``: how hard attention crops its regions, None: as the network is made;
    ``flip``: the manifest says that an embedding is the mean with that of the mirror image;
    ``uint8_input``: the files take the pixels as bytes and normalise them."""

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
    uint8_input: bool = False
    incoming: IncomingOptions = field(default_factory=IncomingOptions)
    repairs: RepairOptions = field(default_factory=RepairOptions)
    table: Path | None = None  # ranges to use; None: calibrated here
    command: tuple[str, ...] = ()  # as the user typed it, for the manifest

    def __post_init__(self) -> None:
        self._check_origin()
        if self.table is not None and not self.int8:
            raise UsageError("--table has the ranges of INT8 engines: add --int8.")
        for name, value, known in (
            ("target", self.target, ("auto", *TARGETS)),
            ("crop", CROPS[0] if self.crop is None else self.crop, CROPS),
            ("method", self.method, METHODS),
        ):
            if value not in known:
                raise UsageError(f"unknown {name} {value!r}: {', '.join(known)} are known.")
        if self.images < 1:
            raise UsageError(f"{self.images} calibration images: at least 1 is needed.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: 0 and above are allowed.")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads: at least 1 is needed.")

    @property
    def onnx_file(self) -> Path | None:
        """The ONNX file to export, None for a network of our own."""
        return Path(self.network) if self.network.lower().endswith(".onnx") else None

    def _check_origin(self) -> None:
        """Raise UsageError for what does not go together with the network."""
        if self.onnx_file is None:
            if self.incoming != IncomingOptions(input_size=self.incoming.input_size):
                raise UsageError(
                    f"{self.network} is no .onnx file: its output and preprocessing are known; "
                    "--output, --preprocess and their like are for ONNX files."
                )
        elif self.weights is not None or self.crop is not None:
            raise UsageError(
                f"{self.network} is an ONNX file and holds its weights: --weights and --crop are "
                "for the networks of edgereid."
            )
        foreign = self.onnx_file is not None or self.weights is not None
        if self.int8 and foreign and self.calibration is None:
            what = "an ONNX file" if self.onnx_file else "--weights"
            raise UsageError(
                f"--int8 with {what} needs --calib: the images that the weights were trained on."
            )


def default_out(network: str, int8: bool) -> Path:
    """The bundle's directory when none is named."""
    name = Path(network).stem if network.lower().endswith(".onnx") else network
    return Path(f"{name}-int8" if int8 else name)
