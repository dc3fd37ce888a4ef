"""TensorRT's calibration cache, the text in which pipelines up to release 10 keep INT8 ranges.

    TRT-8603-EntropyCalibration2
    images: 3c010a14

The first line names release and algorithm. Each further one holds a tensor and its scale,
``amax / 127``, as a float32 whose bytes stand big-endian in hexadecimal (leading zeros may be
missing). Format: NVIDIA's sampleINT8 README, "Calibration file".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.calibration.scheme import INT8, MIN_SCALE, Range
from edgereid.calibration.table import CalibrationTable, Entry
from edgereid.errors import InputError, UsageError
from edgereid.files import write_bytes

DEFAULT_HEADER = "TRT-8603-EntropyCalibration2"
MAX_BYTES = 16 * 2**20
_HEADER = re.compile(r"TRT-([0-9X]{1,8})-([A-Za-z]\w{0,60})")
_LEVELS = 127
_HEX = re.compile(r"[0-9a-fA-F]{1,8}")
_MAX_SCALE = float.fromhex("0x1.fffffep+127") / _LEVELS  # above it amax is no float32
_METHOD = "tensorrt"


@dataclass(frozen=True, slots=True)
class CalibrationCache:
    """``header``: the first line; ``scales``: tensor -> scale, a float32, in the file's order."""

    header: str
    scales: Mapping[str, float]

    def to_bytes(self) -> bytes:
        """The file. Raises UsageError on a header, tensor or scale that cannot stand in one."""
        if not _HEADER.fullmatch(self.header):
            raise UsageError(
                f"{self.header!r:.60} is no header of a calibration cache: write "
                f"{DEFAULT_HEADER}, or the first line of one that your TensorRT wrote."
            )
        lines = [self.header, *(_line(name, scale) for name, scale in self.scales.items())]
        return "".join(f"{line}\n" for line in lines).encode()

    @staticmethod
    def parse(data: bytes, source: str = "the calibration cache") -> CalibrationCache:
        """The inverse of ``to_bytes``. Raises InputError, with the number of the first line that
        is wrong: one that is left out would change the plan without a word."""
        try:
            lines = data.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{source} is no calibration cache: it is no UTF-8 text.") from error
        header, *rest = (line.removesuffix("\r") for line in lines)
        if not _HEADER.fullmatch(header):
            raise InputError(
                f"{source} is no calibration cache: it begins with {header!r:.60}, not with "
                f"something like {DEFAULT_HEADER}."
            )
        scales: dict[str, float] = {}
        for number, line in enumerate(rest, 2):
            if not line and number == len(rest) + 1:
                break  # behind the last newline
            try:
                name, scale = _scale(line)
                if name in scales:
                    raise ValueError(f"the tensor {name!r:.60} stands there twice")
            except ValueError as error:
                raise InputError(f"{source} cannot be read: line {number}: {error}.") from error
            scales[name] = scale
        if not scales:
            raise InputError(f"{source} cannot be read: it holds no tensor.")
        return CalibrationCache(header, scales)

    @staticmethod
    def load(path: Path) -> CalibrationCache:
        """Read a file. Raises InputError."""
        try:
            with path.open("rb") as f:
                data = f.read(MAX_BYTES + 1)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
        if len(data) > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES // 2**20} MiB: no cache.")
        return CalibrationCache.parse(data, str(path))

    def save(self, path: Path) -> None:
        """Write the file, atomically. Raises UsageError and StorageError."""
        write_bytes(path, self.to_bytes())

    def to_table(self, provenance: Mapping[str, Any]) -> CalibrationTable:
        """The ranges as a table of ours. What a cache does not say, the values seen and their
        number, is the range itself, counted once; a non-negative tensor cannot be told."""
        entries = {}
        for name, scale in self.scales.items():
            amax = scale * _LEVELS
            entries[name] = Entry(-amax, amax, 1, _METHOD, {INT8.name: Range(-amax, amax)})
        return CalibrationTable(entries, {**provenance, "header": self.header})

    @staticmethod
    def of_table(table: CalibrationTable, header: str = DEFAULT_HEADER) -> CalibrationCache:
        """The signed ranges of a table. Raises InputError when it has none, being made for other
        targets."""
        scales = {
            name: float(INT8.parameters(entry.ranges[INT8.name])[0])
            for name, entry in table.entries.items()
            if INT8.name in entry.ranges
        }
        if not scales:
            raise InputError(
                "the calibration table has no ranges for TensorRT: calibrate with "
                "`edgereid export NETWORK --int8 --target tensorrt`."
            )
        return CalibrationCache(header, scales)


def header_of(version: str) -> str:
    """The header that a release writes itself: "8.6.1" gives TRT-8601-..., "10.3.0" TRT-100300-...
    (``NV_TENSORRT_VERSION`` of NvInferVersion.h). Raises UsageError."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if numbers is None:
        raise UsageError(f"{version!r:.40} is no release of TensorRT such as 8.6.1.")
    major, minor, patch = map(int, numbers.groups())
    thousand = 1000 if major < 10 else 10_000
    return f"TRT-{major * thousand + minor * 100 + patch}-EntropyCalibration2"


def _line(name: str, scale: float) -> str:
    if not _plain(name):
        raise UsageError(f"the tensor {name!r:.60} cannot stand in a calibration cache.")
    return f"{name}: {_checked(scale, UsageError)}"


def _plain(name: str) -> bool:
    """Whether a tensor's name keeps its line in one piece."""
    return bool(name) and name == name.strip() and name.isprintable()


def _checked(scale: float, error: type[UsageError] | type[ValueError]) -> str:
    """A scale's eight digits, if it is one; 0 is that of a tensor of zeros."""
    if not (scale == 0.0 or MIN_SCALE <= scale <= _MAX_SCALE):
        raise error(f"the scale {scale:g} is no positive normal number of float32")
    return struct.pack(">f", scale).hex()


def _scale(line: str) -> tuple[str, float]:
    """Tensor and scale of a line; raises ValueError."""
    name, colon, digits = line.rpartition(": ")
    if not colon or not _plain(name) or not _HEX.fullmatch(digits):
        raise ValueError(f"{line!r:.60} is no 'TENSOR: SCALE in hexadecimal'")
    (scale,) = struct.unpack(">f", bytes.fromhex(digits.zfill(8)))
    _checked(scale, ValueError)
    return name, scale
