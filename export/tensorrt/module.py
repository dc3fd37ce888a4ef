"""TensorRT's own package, or one line that says what is missing."""

from __future__ import annotations

import importlib
import platform
from typing import Any

from edgereid.errors import MissingRuntimeError

_HOW = {
    "aarch64": "on a Jetson JetPack brings it (sudo apt install nvidia-jetpack): make the "
    "environment with --system-site-packages",
    "x86_64": "pip install 'edgereid[tensorrt]', on a machine with an NVIDIA GPU",
}


def load_tensorrt() -> Any:
    """The module ``tensorrt``. Raises MissingRuntimeError where it is missing or cannot start."""
    try:
        return importlib.import_module("tensorrt")
    except ModuleNotFoundError as error:
        if error.name != "tensorrt":
            raise _broken(error) from error
        how = _HOW.get(platform.machine(), "install NVIDIA TensorRT")
        raise MissingRuntimeError(
            f"TensorRT is not installed here, and a plan is built on the device that will run it: "
            f"{how}."
        ) from error
    except (ImportError, OSError) as error:
        raise _broken(error) from error


def _broken(error: Exception) -> MissingRuntimeError:
    reason = " ".join(str(error).split()).rstrip(".")
    return MissingRuntimeError(
        f"TensorRT is installed, but cannot be loaded ({reason:.200}): install its libraries and "
        "the driver of this machine's GPU."
    )


def release(trt: Any) -> str:
    """The version that the module states, such as "10.3.0"."""
    return str(getattr(trt, "__version__", "unknown"))
