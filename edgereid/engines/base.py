"""The contract of every engine: a batch of preprocessed images in, embeddings out.

Checks are done once, here; a backend only does the work. ``docs/engines.md`` says how to add one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError, UsageError
from edgereid.images import Batch

#: By the type of an engine's input, the meaning of its axes.
LAYOUTS = {
    "float32": ("batch size", "channels", "height", "width"),
    "uint8": ("batch size", "height", "width", "channels"),
}
Precision = str  # "f32", "bf16", "f16", "int8": the type most of the arithmetic is asked to run in


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output: ``None`` is a dynamic dimension, no dimensions at all an unknown rank."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        return "x".join("N" if size is None else str(size) for size in self.shape)

    @property
    def layout(self) -> tuple[str, ...]:
        """What the axes of a batch of images mean; raises InputError where the type is no
        image's."""
        if self.dtype not in LAYOUTS:
            raise InputError(f"images come in {' or '.join(LAYOUTS)}, not in {self.dtype}.")
        return LAYOUTS[self.dtype]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a user may choose when opening an engine.

    ``precision`` is what the float arithmetic runs in: "bf16" lets a float file, or the float
    layers of an INT8 file, run in bf16 where runtime and processor can.
    """

    threads: int | None = None  # None: as many as this process may use
    precision: Precision | None = None  # None: as the file says
    trust: bool = False  # open a file that no manifest vouches for, native code included
    cuda_graph: bool | None = None  # TensorRT: replay from a CUDA graph; None: where it works


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is, for tables and result files."""

    runtime: str  # "eager", "onnxruntime", "openvino", "tensorrt"
    precision: Precision  # the precision really in use, as far as the runtime tells
    threads: int
    version: str
    details: dict[str, Any] = field(default_factory=dict)


class Engine(ABC):
    """A loaded network. Use as a context manager; ``run`` may be called from one thread at a time.

    A backend's constructor sets ``inputs``, ``outputs`` and ``info``.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    info: EngineInfo

    def __init__(self) -> None:
        self._closed = False

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width in pixels. Raises InputError when the file leaves them open."""
        spec = self.inputs[0]
        height, width = (spec.shape[spec.layout.index(axis)] for axis in ("height", "width"))
        if height is None or width is None:
            raise InputError("the engine leaves its input size open: no fixed height and width.")
        return height, width

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """Embeddings (N, D) float32, owned by the caller, of images: (N, 3, H, W) float32, or
        (N, H, W, 3) uint8 where that is the type of ``inputs[0]``.

        Raises InputError on a wrong type, shape or size, on an empty batch, on images or embeddings
        that are not finite and when the runtime fails; UsageError on a closed engine.
        """
        if self._closed:
            raise UsageError("the engine is closed: open it again.")
        self._check_input(batch)
        with runtime_errors(f"the {self.info.runtime} engine failed on a batch of {len(batch)}"):
            out = self._run(np.require(batch, requirements=["C", "W"]))
        self._check_output(out, len(batch))
        return out

    def _check_input(self, batch: Batch) -> None:
        spec = self.inputs[0]
        if not isinstance(batch, np.ndarray) or batch.dtype != spec.dtype:
            got_type = batch.dtype if isinstance(batch, np.ndarray) else type(batch).__name__
            raise InputError(f"the engine takes a {spec.dtype} array, not {got_type}.")
        if batch.ndim != 4:
            form = "(N, H, W, 3)" if spec.dtype == "uint8" else "(N, 3, H, W)"
            raise InputError(f"the engine takes {form}, not {batch.ndim} dimensions.")
        if len(batch) == 0:
            raise InputError("the batch is empty: at least one image is needed.")
        for axis, (got, want) in enumerate(zip(batch.shape, spec.shape, strict=True)):
            if want is not None and got != want:
                given = "x".join(str(s) for s in batch.shape)
                raise InputError(
                    f"wrong input size: the engine takes {spec}, got {given} ({spec.layout[axis]})."
                )
        # A ReLU may turn NaN into a plain zero, so the output alone does not show it.
        if batch.dtype != np.uint8 and not np.isfinite(batch).all():
            bad = np.flatnonzero(~np.isfinite(batch).all(axis=(1, 2, 3)))
            raise InputError(f"image {bad[0]} of the batch holds NaN or infinity ({len(bad)} do).")

    def _check_output(self, out: NDArray[np.float32], count: int) -> None:
        size = self.outputs[0].shape[1] if len(self.outputs[0].shape) == 2 else None
        if out.dtype != np.float32 or out.ndim != 2 or len(out) != count:
            raise InputError(
                f"the engine gave {out.shape} {out.dtype} for {count} images, not (N, D) float32."
            )
        if size is not None and out.shape[1] != size:
            raise InputError(f"the engine gave {out.shape[1]} numbers an image, {size} promised.")
        if not np.isfinite(out).all():
            bad = int((~np.isfinite(out).all(axis=1)).sum())
            raise InputError(f"the engine gave NaN or infinity for {bad} of {count} images.")

    @abstractmethod
    def _run(self, batch: Batch) -> NDArray[np.float32]:
        """The backend's work, on a checked batch, contiguous and writable (runtimes that share
        memory insist on it); it is left as it is. Returns an array the caller owns."""

    def _release(self) -> None:  # noqa: B027  (optional for a backend)
        """Free what the backend holds."""

    def close(self) -> None:
        """Free the engine; closing twice is allowed."""
        if not self._closed:
            self._closed = True
            self._release()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
