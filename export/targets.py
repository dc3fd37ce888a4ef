"""Which runtimes to build for: what the user named, or what this machine can run."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable

from edgereid.errors import MissingRuntimeError
from edgereid.export.options import RUNTIME_OF, TARGETS


def installed(package: str) -> bool:
    """Whether a package could be imported; it is not imported. A mere folder of that name on the
    path is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def is_arm(machine: str) -> bool:
    """Whether ``platform.machine()`` gave the name of a 64-bit Arm processor."""
    return machine.lower() in ("aarch64", "arm64")


def choose_targets(
    target: str,
    int8: bool,
    *,
    is_installed: Callable[[str], bool] = installed,
    machine: str | None = None,
) -> tuple[tuple[str, ...], str]:
    """The targets, and one line that says why; ``machine`` None: this one's processor.

    ``auto`` takes every runtime that is installed, ONNX Runtime as suits the processor. A named one
    must be, except TensorRT: its Q/DQ model is written anywhere, the plan is built on the device.
    Raises MissingRuntimeError.
    """
    if target == "auto":
        arm = is_arm(platform.machine() if machine is None else machine)
        elsewhere = "onnxruntime" if arm else "onnxruntime-arm"
        usual = [t for t in TARGETS if t != elsewhere]
        found = tuple(t for t in usual if is_installed(RUNTIME_OF[t]))
        if not found:
            raise MissingRuntimeError(
                "no runtime is installed here: pip install 'edgereid[openvino]' (the fastest on "
                "x86), 'edgereid[onnxruntime]', or name one with --target tensorrt."
            )
        missing = [RUNTIME_OF[t] for t in usual if t not in found]
        rest = f"; not installed: {', '.join(missing)}" if missing else ""
        as_it_is = "" if int8 else " (model.onnx serves them all)"
        return found, f"target auto: {' and '.join(found)}{as_it_is}, as installed here{rest}"
    if target == "tensorrt":
        model = "tensorrt.onnx (Q/DQ)" if int8 else "model.onnx"
        return (target,), (
            f"target tensorrt: {model} is written; a plan is built from it on the device that will "
            "run it, here if TensorRT and a GPU are at hand"
        )
    if not is_installed(RUNTIME_OF[target]):
        raise MissingRuntimeError(
            f"the target {target} is not installed: pip install 'edgereid[{RUNTIME_OF[target]}]'."
        )
    return (target,), f"target {target}, as asked for"
