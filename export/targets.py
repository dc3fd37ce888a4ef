"""Which runtimes to build for: what the user named, or what this machine can run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from edgereid.errors import MissingRuntimeError
from edgereid.export.options import TARGETS


def installed(package: str) -> bool:
    """Whether a package could be imported; it is not imported. A mere folder of that name on the
    path is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def choose_targets(
    target: str, int8: bool, *, is_installed: Callable[[str], bool] = installed
) -> tuple[tuple[str, ...], str]:
    """The targets, and one line that says why.

    ``auto`` takes every runtime that is installed. A named one must be, except TensorRT: its Q/DQ
    model is written anywhere, the plan is built on the device. Raises MissingRuntimeError.
    """
    if target == "auto":
        found = tuple(t for t in TARGETS if is_installed(t))
        if not found:
            raise MissingRuntimeError(
                "no runtime is installed here: pip install 'edgereid[openvino]' (the fastest on "
                "x86), 'edgereid[onnxruntime]', or name one with --target tensorrt."
            )
        missing = [t for t in TARGETS if t not in found]
        rest = f"; not installed: {', '.join(missing)}" if missing else ""
        as_it_is = "" if int8 else " (model.onnx serves them all)"
        return found, f"target auto: {' and '.join(found)}{as_it_is}, as installed here{rest}"
    if target == "tensorrt":
        model = "tensorrt.onnx (Q/DQ)" if int8 else "model.onnx"
        return (target,), (
            f"target tensorrt: {model} is written; a plan is built from it on the device that will "
            "run it, here if TensorRT and a GPU are at hand"
        )
    if not is_installed(target):
        raise MissingRuntimeError(
            f"the target {target} is not installed: pip install 'edgereid[{target}]'."
        )
    return (target,), f"target {target}, as asked for"
