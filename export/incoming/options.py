"""What a user says about an ONNX file from elsewhere. Light: the command line reads it."""

from __future__ import annotations

from dataclasses import dataclass

from edgereid.errors import UsageError

Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Pixels:
    """How pixels become numbers: channels in the order ``color``, values from 0 to ``peak``, minus
    ``mean``, divided by ``std`` (in that same order)."""

    color: str
    mean: Three
    std: Three
    peak: float = 1.0


#: The usual ways, by the name that --preprocess takes.
PREPROCESSINGS: dict[str, Pixels] = {
    "imagenet": Pixels("RGB", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": Pixels("RGB", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": Pixels("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "bytes": Pixels("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), peak=255.0),
    "caffe": Pixels("BGR", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), peak=255.0),
}
DEFAULT_PREPROCESSING = "imagenet"
COLORS = ("RGB", "BGR")  # as in edgereid.images, which needs NumPy
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


@dataclass(frozen=True, slots=True)
class IncomingOptions:
    """``input_size``: height and width, None: as the file says; ``output``: a tensor's name, None:
    the only output. ``preprocess`` names a row of ``PREPROCESSINGS``, None: the default, which is
    said; what else is given replaces that part of the row. ``mean``, ``std``: in the order of
    ``color``, of pixels from 0 to ``peak``."""

    input_size: tuple[int, int] | None = None
    output: str | None = None
    preprocess: str | None = None
    mean: Three | None = None
    std: Three | None = None
    peak: float | None = None
    color: str | None = None
    interpolation: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("preprocessing", self.preprocess, tuple(PREPROCESSINGS)),
            ("colour order", self.color, COLORS),
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("largest pixel value", self.peak, (1.0, 255.0)),
        ):
            if value is not None and value not in known:
                allowed = ", ".join(f"{k:g}" if isinstance(k, float) else k for k in known)
                raise UsageError(f"unknown {name} {value!r}: {allowed} are known.")
        if (self.mean is None) != (self.std is None):
            raise UsageError("--mean and --std belong together: give both, three numbers each.")
        if self.peak is not None and self.mean is None:
            raise UsageError("--pixel-max says what --mean and --std are about: give those, too.")

    @property
    def says_pixels(self) -> bool:
        """Whether anything was said of how pixels become numbers."""
        return (self.preprocess, self.mean, self.color) != (None, None, None)

    @property
    def pixels(self) -> Pixels:
        """The chosen row with what was given in place of its parts."""
        row = PREPROCESSINGS[self.preprocess or DEFAULT_PREPROCESSING]
        color = self.color or row.color
        if self.mean is not None and self.std is not None:
            return Pixels(color, self.mean, self.std, self.peak or 1.0)
        if color == row.color:
            return row
        return Pixels(color, _turned(row.mean), _turned(row.std), row.peak)


def _turned(values: Three) -> Three:
    """Of the channels in the other order."""
    return values[2], values[1], values[0]
