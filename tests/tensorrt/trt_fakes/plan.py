"""The fake's plan: a header that reads like the real one, a description in JSON, the ONNX model.

Bytes 0-3 "ftrt", 4-7 the serialization version 0, 8-15 the size of the whole file, 16-19 the size
of the description, 20-23 CRC-32 of everything behind byte 28, 24-27 major, minor, patch and build
of the release (all numbers little-endian, as far as they are known of real plans: the tag, the
serialization version and bytes 24-27). Then the description, then the model. A real plan holds
kernels for one device instead, and this says nothing about them.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass, field

TAG = b"ftrt"
HEADER = struct.Struct("<4sIQII4B")


class PlanError(Exception):
    """What deserialising logs."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    name: str
    dtype: str  # a name of DataType
    dims: tuple[int, ...]  # -1: open
    symbols: tuple[str, ...]  # of open dimensions, "" for fixed ones
    is_input: bool


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A layer of the engine: what it was fused from and the type it runs in."""

    name: str
    kind: str  # the inspector's LayerType
    nodes: tuple[str, ...]  # names of the ONNX nodes
    operators: tuple[str, ...]
    precision: str  # "Float", "Half", "BFloat16", "Int8"
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    milliseconds: float
    weights: int = 0


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """The description in a plan."""

    version: str
    device: str
    compute: tuple[int, int]
    tensors: tuple[TensorInfo, ...]
    layers: tuple[LayerInfo, ...]
    #: profile -> input -> (minimum, optimum, maximum)
    profiles: tuple[dict[str, tuple[tuple[int, ...], ...]], ...]
    verbosity: str = "LAYER_NAMES_ONLY"
    flags: tuple[str, ...] = ()
    hardware: str = "NONE"
    typing: str = "weak"
    dla_core: int = -1
    scratch: int = 1 << 16
    settings: dict[str, object] = field(default_factory=dict)

    def inputs(self) -> list[TensorInfo]:
        return [t for t in self.tensors if t.is_input]


def pack(info: PlanInfo, model: bytes) -> bytes:
    text = json.dumps(asdict(info)).encode()
    numbers = ([int(n) for n in info.version.split(".")] + [0] * 4)[:4]
    body = text + model
    size = HEADER.size + len(body)
    head = HEADER.pack(TAG, 0, size, len(text), zlib.crc32(body), *(n & 255 for n in numbers))
    return head + body


def unpack(data: bytes) -> tuple[PlanInfo, bytes]:
    """Raises PlanError with a message as the real library logs it."""
    if len(data) < HEADER.size or data[:4] != TAG:
        raise PlanError(
            "Error Code 1: Serialization (Serialization assertion magicTagRead == kMAGIC_TAG "
            "failed.Magic tag does not match)"
        )
    _, serialization, size, length, checksum, *_ = HEADER.unpack_from(data)
    if serialization != 0:
        raise PlanError(
            "Error Code 1: Serialization (Serialization assertion stdVersionRead == "
            f"kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current Version: 0, "
            f"Serialized Engine Version: {serialization})"
        )
    body = data[HEADER.size :]
    if size != len(data) or zlib.crc32(body) != checksum:
        raise PlanError(
            "Error Code 1: Serialization (Serialization assertion sizeRead == expectedSize "
            "failed.Size specified in header does not match archive size)"
        )
    return _info(json.loads(body[:length])), body[length:]


def _info(raw: dict[str, object]) -> PlanInfo:
    fields: dict[str, object] = dict(raw)
    fields["compute"] = tuple(raw["compute"])  # type: ignore[arg-type]
    fields["flags"] = tuple(raw["flags"])  # type: ignore[arg-type]
    fields["tensors"] = tuple(
        TensorInfo(t["name"], t["dtype"], tuple(t["dims"]), tuple(t["symbols"]), t["is_input"])
        for t in raw["tensors"]  # type: ignore[attr-defined]
    )
    fields["layers"] = tuple(
        LayerInfo(**{k: tuple(v) if isinstance(v, list) else v for k, v in layer.items()})
        for layer in raw["layers"]  # type: ignore[attr-defined]
    )
    fields["profiles"] = tuple(
        {name: tuple(map(tuple, shapes)) for name, shapes in profile.items()}
        for profile in raw["profiles"]  # type: ignore[attr-defined]
    )
    return PlanInfo(**fields)  # type: ignore[arg-type]
