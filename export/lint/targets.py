"""The runtimes a file can be held against, and what differs between their releases."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from edgereid.errors import UsageError
from edgereid.export.lint import operators
from edgereid.export.lint.operators import Operators
from edgereid.export.policy import ONNXRUNTIME, ONNXRUNTIME_ARM, OPENVINO, TENSORRT, PlacementPolicy


@dataclass(frozen=True, slots=True)
class Release:
    """What one release's parser takes. ``opsets``: lowest and highest, None where nobody says."""

    version: tuple[int, int] | None  # None: the runtime's lists name no release
    opsets: tuple[int | None, int | None]
    operators: Operators
    source: str  # of the operator sets
    int64: bool = True  # whether INT64 is computed in as it is
    weak_typing: bool = True  # whether the builder may choose FP16 for FP32 tensors
    other_types: tuple[str, ...] = ()  # of quantized tensors, beside 8-bit integers

    @property
    def name(self) -> str:
        return ".".join(map(str, self.version)) if self.version else ""


@dataclass(frozen=True, slots=True)
class Target:
    """A runtime at one release. Types are ONNX's names, in lower case."""

    name: str
    policy: PlacementPolicy
    activation_types: tuple[str, ...]
    weight_types: tuple[str, ...]
    bundle_file: str  # of a bundle, the ONNX file made for it; else its float file is read
    release: Release
    releases: tuple[Release, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.name} {self.release.name}".rstrip()


_FP8 = ("float8e4m3fn", "int4")
_FP4 = (*_FP8, "float4e2m1")
_OP = "onnx-tensorrt docs/operators.md"
_GUIDE = "docs.nvidia.com/deeplearning/tensorrt, ONNX opset guide"
TENSORRT_RELEASES = (
    Release((8, 5), (9, 17), operators.TENSORRT_8_5, f"{_OP}, 8.5: up to opset 17", int64=False),
    Release((8, 6), (9, 17), operators.TENSORRT_8_5, f"{_OP}, 8.6: up to opset 17", int64=False),
    Release(
        (10, 0), (9, 20), operators.TENSORRT_10, f"{_OP}, 10.0: opset 9 to 20", other_types=_FP8
    ),
    Release(
        (10, 9), (9, 22), operators.TENSORRT_10, "a third party's list, 10.9", other_types=_FP4
    ),
    Release(
        (10, 13), (9, 24), operators.TENSORRT_10, "a third party's list, 10.13", other_types=_FP4
    ),
    Release(
        (10, 15), (9, 24), operators.TENSORRT_10_15, f"{_OP}, 10.15: 9 to 24", other_types=_FP4
    ),
    Release(
        (11, 0),
        (9, 25),
        operators.TENSORRT_10_15,
        f"{_GUIDE}: opset 9 to 25",
        weak_typing=False,
        other_types=_FP4,
    ),
)
DEFAULT_TENSORRT = (10, 3)  # JetPack 6.1 and 6.2

_X86 = Release(None, (7, None), operators.ONNXRUNTIME, "onnxruntime.ai, compatibility: opset 7 on")
_IR = Release(None, (None, None), operators.OPENVINO, operators.OPENVINO.source)
_8_BITS = ("int8", "uint8")

TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target(
            "tensorrt",
            TENSORRT,
            ("int8",),
            ("int8",),
            "tensorrt.onnx",
            TENSORRT_RELEASES[0],
            TENSORRT_RELEASES,
        ),
        Target("openvino", OPENVINO, _8_BITS, ("int8",), "model.onnx", _IR),
        Target("onnxruntime", ONNXRUNTIME, ("uint8",), ("int8",), "engine.onnx", _X86),
        Target("onnxruntime-arm", ONNXRUNTIME_ARM, _8_BITS, ("int8",), "engine.onnx", _X86),
    )
}


def choose(name: str, version: str | None = None) -> Target:
    """The target ``name``, of TensorRT at ``version`` (such as "10.3"; None: JetPack 6's).

    What is known of a release holds until the next one listed. Raises UsageError.
    """
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}: {', '.join(TARGETS)}.")
    target = TARGETS[name]
    if not target.releases:
        if version is not None:
            raise UsageError(f"--trt-version is for the target tensorrt, not for {name}.")
        return target
    wanted = DEFAULT_TENSORRT if version is None else _parsed(version)
    known = [r for r in target.releases if r.version is not None and r.version <= wanted]
    if not known:
        first = target.releases[0].name
        raise UsageError(f"TensorRT {version} is too old: {first} or later is known here.")
    return replace(target, release=replace(known[-1], version=wanted))


def _parsed(version: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(\.\d{1,4}){0,2}", version, re.ASCII)
    if match is None:
        raise UsageError(f"{version!r} is no version of TensorRT: give one such as 8.6 or 10.3.")
    return int(match[1]), int(match[2])
