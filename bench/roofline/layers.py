"""What a runtime tells of its own plan: one record for each step it really runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.base import EngineOptions

#: Bytes of a number in each precision.
WIDTHS = {"f32": 4, "bf16": 2, "f16": 2, "int8": 1}


@dataclass(frozen=True, slots=True)
class RuntimeLayer:
    """One step of a runtime's plan.

    ``ms`` is its median over the profiled runs; ``sources`` are names of nodes or tensors of the
    file that it stands for, as the runtime says; the widths are bytes a number read, written and
    of weights; ``traffic`` is what it reads and writes in bytes by the runtime's own shapes, None
    where they are not told.
    """

    name: str
    kind: str
    ms: float
    precision: str
    sources: tuple[str, ...]
    read_width: float
    write_width: float
    weight_width: float
    traffic: int | None


@dataclass(frozen=True, slots=True)
class Profile:
    """The plan of one engine at one batch size; ``run_ms``: median of a whole profiled run."""

    layers: tuple[RuntimeLayer, ...]
    runs: int
    run_ms: float


@dataclass(frozen=True, slots=True)
class ProfileOptions:
    """How many runs to profile, after some to warm up."""

    runs: int = 25
    warmup_runs: int = 5


Batch = NDArray[np.float32]
Profiler = Callable[[Path, EngineOptions, Sequence[Batch], ProfileOptions], Profile]

#: Runtime -> "module:function" of its profiler. Others do not tell what a layer takes.
PROFILERS = {
    "onnxruntime": "edgereid.bench.roofline.onnxruntime_layers:profile",
    "openvino": "edgereid.bench.roofline.openvino_layers:profile",
}


def profiler_of(runtime: str) -> Profiler | None:
    """The profiler of a runtime, imported now; None where there is none."""
    if runtime not in PROFILERS:
        return None
    module, name = PROFILERS[runtime].split(":")
    found: Profiler = getattr(importlib.import_module(module), name)
    return found
