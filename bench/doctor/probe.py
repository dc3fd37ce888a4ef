"""The child process that imports one package: a vendor's library that crashes takes only it along.

It prints one JSON object: ``{"version": ..., "says": [...]}``, or ``{"error": ...}``.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def _torch(module: Any) -> list[str]:
    built = module.version.cuda
    if not module.cuda.is_available():
        return [f"built for CUDA {built}, sees no GPU" if built else "built without CUDA"]
    return [f"CUDA {built}", f"sees {module.cuda.get_device_name(0)}"]


def _onnxruntime(module: Any) -> list[str]:
    names = [str(p).removesuffix("ExecutionProvider") for p in module.get_available_providers()]
    return [f"providers {', '.join(names)}"]


def _openvino(module: Any) -> list[str]:
    return [f"devices {', '.join(module.Core().available_devices) or 'none'}"]


def _cuda(module: Any) -> list[str]:
    """cudaGetDeviceCount of the CUDA Python bindings."""
    error, count = module.cudaGetDeviceCount()
    if int(error) != 0:
        return [f"sees no GPU ({getattr(error, 'name', error)})"]
    return [f"sees {count} GPU{'s' if count != 1 else ''}"]


#: Module -> what it can say about this device once it is imported.
SAYS: Mapping[str, Callable[[Any], list[str]]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "cuda.bindings.runtime": _cuda,
    "cuda.cudart": _cuda,
}


def look(modules: Sequence[str]) -> dict[str, Any]:
    """Import the first of ``modules`` that exists and ask it. Whatever goes wrong is in ``error``;
    it is ``None`` where none of them exists."""
    for name in modules:
        try:
            module = importlib.import_module(name)
            version = getattr(module, "__version__", None)
            says = SAYS.get(name, lambda module: [])(module)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                continue
            return {"error": f"{error.name} is missing"}
        except Exception as error:  # vendors raise what they like
            return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        return {"version": None if version is None else str(version), "says": says}
    return {"error": None}


def main(modules: Sequence[str]) -> None:
    """Print what ``look`` finds as the last line."""
    sys.stdout.write("\n" + json.dumps(look(modules)) + "\n")
