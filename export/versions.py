"""Which packages took part in an export."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
