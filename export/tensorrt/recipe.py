"""Which of the two ways to tell TensorRT its types: by what the release has, never by its number.

*Weak*: the file is float32 (Q/DQ or not) and flags allow the builder to take FP16 and INT8 where
that is faster; layers that must stay FP32 are constrained one by one. Releases 8.5 to 10.
*Strong*: the builder obeys the types in the file, so FP16 must stand in the file. 10 by choice;
11 knows nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgereid.errors import UsageError
from edgereid.export.tensorrt.module import release

WEAK, STRONG = "weak", "strong"


@dataclass(frozen=True, slots=True)
class Recipe:
    """``typing``: weak or strong; ``precision``: int8, f16 or f32, the lowest that the plan may
    use; ``half``: the file holds float16 already; ``implicit``: INT8 comes from a calibration
    cache, not from Q/DQ."""

    typing: str
    precision: str
    half: bool = False
    implicit: bool = False

    @property
    def cast(self) -> bool:
        """Whether the file must first be typed FP16."""
        return self.typing == STRONG and self.precision != "f32" and not self.half


def has_weak(trt: Any) -> bool:
    """Whether precision flags exist."""
    return hasattr(trt.BuilderFlag, "FP16")


def has_strong(trt: Any) -> bool:
    """Whether networks can be strongly typed: by a flag, or always where weak typing is gone."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") or not has_weak(trt)


def choose_typing(trt: Any, asked: str, half: bool) -> str:
    """The typing for a file; ``half``: it holds float16 already, so flags are not needed.

    ``auto`` is weak where it exists, except for such a file. Raises UsageError where the release
    cannot do what was asked.
    """
    if asked == WEAK and not has_weak(trt):
        raise UsageError(
            f"TensorRT {release(trt)} has no weak typing any more: leave --typing out."
        )
    if (asked == STRONG or half) and not has_strong(trt):
        what = "takes no strongly typed network"
        fix = "give the float32 file instead" if half else "leave --typing out"
        raise UsageError(f"TensorRT {release(trt)} {what}: {fix}.")
    if asked == WEAK and half:
        raise UsageError(
            "the file holds float16 already, which weak typing would overrule: give the float32 "
            "file, or --typing strong."
        )
    if asked != "auto":
        return asked
    return WEAK if has_weak(trt) and not half else STRONG


def network_flags(trt: Any, recipe: Recipe) -> int:
    """The bits for ``create_network``. A batch that is part of the shapes had to be asked for
    before release 10, and cannot be in 11."""
    flags = 0
    if hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    if hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") and recipe.typing == STRONG:
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return flags


def precision_flags(trt: Any, recipe: Recipe) -> list[Any]:
    """The flags of ``trt.BuilderFlag`` that allow lower precisions; none where types are obeyed.

    With Q/DQ the INT8 flag is mandatory (NVIDIA/TensorRT issue 4021); FP16 then serves the layers
    between. Constraints are obeyed, or preferred where a release can only do that.
    """
    if not has_weak(trt) or recipe.typing == STRONG or recipe.precision == "f32":
        return []
    flags = [trt.BuilderFlag.FP16]
    if recipe.precision == "int8":
        flags.append(trt.BuilderFlag.INT8)
    if hasattr(trt.BuilderFlag, "OBEY_PRECISION_CONSTRAINTS"):
        flags.append(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    elif hasattr(trt.BuilderFlag, "PREFER_PRECISION_CONSTRAINTS"):
        flags.append(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
    return flags
