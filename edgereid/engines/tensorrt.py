"""TensorRT plans: what this version can honestly say about them. It does not run them yet."""

from __future__ import annotations

from pathlib import Path

from edgereid.engines.base import Engine, EngineOptions
from edgereid.errors import UsageError


def refuse(path: Path, options: EngineOptions) -> Engine:
    """Raise UsageError: running plans is not part of this version."""
    del options
    raise UsageError(
        f"{path}: running TensorRT plans is not part of this version yet: "
        "run them with trtexec, or open an .onnx or .xml engine."
    )
