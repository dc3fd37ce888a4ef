"""What the FP16 caster did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TypedReport:
    """``half`` and ``single``: nodes of floats that compute in FP16 and in FP32 (quantizers among
    them); ``float32``: name of an FP32 node -> why; ``casts``: nodes that were added; ``raised``:
    per-channel weight scales that FP16 does not have and that were raised to one it has."""

    opset: int
    half: int
    single: int
    casts: int
    raised: int
    float32: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "opset": self.opset,
            "float16_nodes": self.half,
            "float32_nodes": self.single,
            "casts": self.casts,
            "raised_scales": self.raised,
            "float32": dict(self.float32),
        }
