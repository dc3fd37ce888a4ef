"""The first bytes of a plan: which TensorRT wrote it, as far as that is published.

A plan is a format of NVIDIA's own. What is published is the reader behind ``trtexec
--getPlanVersionOnly`` (github.com/NVIDIA/TensorRT, samples/common/sampleEngines.cpp,
``printPlanVersion``): the little-endian word at byte 0 is 0x74727466 ("ftrt"), the word at byte 4
is the serialization version, and where that is 0, the bytes 24 to 27 are major, minor, patch and
build of the TensorRT that wrote the plan. Every other byte, and every other serialization version,
is taken as unknown: nothing is concluded from it. The header of a damaged plan may say anything,
so what it says is a hint for messages; TensorRT itself decides what it loads.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

TAG = 0x74727466
HEADER_BYTES = 28
_KNOWN_SERIALIZATION = 0
_VERSION_AT = 24
#: Releases that can run here; a smaller number at that place is no version that we know of.
_OLDEST_MAJOR = 8

#: What other files start with: the answer to "what is this, then?".
_OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip archive, such as PyTorch's .pt"),
    (b"\x7fELF", "a program or library"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x89HDF", "an HDF5 file"),
    (b"<", "text or XML, such as an .xml network or a web page"),
    (b"\x08", "most likely an ONNX file: build a plan from it"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself"),
)


@dataclass(frozen=True, slots=True)
class PlanHeader:
    """What the first bytes say. ``tag``: they start as a plan does. ``version``: major, minor,
    patch and build, None where it is unknown. ``other``: what else the file seems to be, in words.
    """

    tag: bool
    version: tuple[int, int, int, int] | None = None
    other: str | None = None

    @property
    def version_text(self) -> str | None:
        """ "10.3.0.26", or None."""
        return None if self.version is None else ".".join(str(n) for n in self.version)


def read_header(data: bytes) -> PlanHeader:
    """The header of a plan, whole or only its beginning; never raises."""
    if len(data) < 4 or struct.unpack_from("<I", data)[0] != TAG:
        return PlanHeader(tag=False, other=_other_format(data))
    if len(data) < HEADER_BYTES or struct.unpack_from("<I", data, 4)[0] != _KNOWN_SERIALIZATION:
        return PlanHeader(tag=True)
    major, minor, patch, build = data[_VERSION_AT:HEADER_BYTES]
    known = major >= _OLDEST_MAJOR
    return PlanHeader(tag=True, version=(major, minor, patch, build) if known else None)


def _other_format(data: bytes) -> str | None:
    if not data:
        return "an empty file"
    preface = _json_preface(data)
    if preface is not None:
        return (
            f"a plan behind {preface} bytes of another tool's description (Ultralytics writes "
            "such files): cut these bytes off"
        )
    return next((words for start, words in _OTHER_FORMATS if data.startswith(start)), None)


def _json_preface(data: bytes) -> int | None:
    """The length of "size, JSON of that size" where a plan follows; None otherwise."""
    if len(data) < 5 or data[4:5] != b"{":
        return None
    end = 4 + int(struct.unpack_from("<I", data)[0])
    if end + 4 > len(data) or struct.unpack_from("<I", data, end)[0] != TAG:
        return None
    return end
