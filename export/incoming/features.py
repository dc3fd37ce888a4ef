"""Runs a model that may have a fixed batch, whatever its output looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.session import open_session
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError

Floats = NDArray[np.float32]


class Features:
    """Features (N, D) of images (N, 3, H, W) by an onnx.ModelProto; ``what``: how messages call it.

    Raises InputError when it does not run, or when its output is not one float32 vector an image.
    """

    def __init__(self, model: Any, threads: int, what: str) -> None:
        self._what = what
        with runtime_errors(f"{what} cannot be run by ONNX Runtime"):
            self._session = open_session(model, threads)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, images: Floats, batch: int) -> Floats:
        """``batch`` images at a time, never fewer."""
        return self.raw(images, batch).reshape(len(images), -1)

    def raw(self, images: Floats, batch: int) -> Floats:
        """The same in the shape of the output: (N, D) or (N, D, 1, 1)."""
        parts = []
        for start in range(0, len(images), batch):
            chunk = images[start : start + batch]
            rest = np.repeat(chunk[-1:], batch - len(chunk), axis=0)  # thrown away
            with runtime_errors(f"{self._what} cannot be run by ONNX Runtime"):
                full = np.concatenate([chunk, rest])
                out = np.asarray(self._session.run(None, {self._input: full})[0])
            _require_vectors(out, batch, self._what)
            parts.append(out[: len(chunk)])
        return np.concatenate(parts)


def _require_vectors(out: NDArray[Any], count: int, what: str) -> None:
    if out.dtype != np.float32:
        raise InputError(
            f"{what} gives {out.dtype}: a float32 embedding is needed; export it in float32."
        )
    if out.ndim < 2 or len(out) != count or out.shape[1] < 2:
        shape = "x".join(map(str, out.shape)) or "a single number"
        raise InputError(
            f"{what} gives {shape} for {count} image{'s' * (count > 1)}: NxD, one embedding for "
            "each image, is needed; choose a tensor with --output NAME, or export it that way."
        )
    if out.size != out.shape[0] * out.shape[1]:
        shape = "x".join(map(str, out.shape[1:]))
        raise InputError(
            f"{what} gives a feature map of {shape} for each image: NxD (or NxDx1x1) is needed; "
            "choose a pooled tensor with --output NAME, or export the network with its pooling."
        )
