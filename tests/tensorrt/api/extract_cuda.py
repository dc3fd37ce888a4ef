"""Write what a CUDA Python runtime module has as one compact JSON file.

    python extract_cuda.py cuda.bindings.runtime cuda-13.5.json.xz
    PYTHONPATH=UNPACKED_WHEEL python extract_cuda.py cuda.cudart cuda-12.2.json.xz

Works without a GPU and without a driver: only names, docstrings and numbers are read.
"""

from __future__ import annotations

import importlib
import json
import lzma
import sys
from pathlib import Path
from typing import Any


def describe(thing: Any) -> Any:
    members = getattr(thing, "__members__", None)
    if isinstance(thing, type) and members is not None:
        return {"enum": {name: int(value) for name, value in members.items()}}
    if isinstance(thing, type):
        return {"struct": sorted(n for n in dir(thing) if not n.startswith("_"))}
    if isinstance(thing, int):
        return {"constant": int(thing)}
    lines = (getattr(thing, "__doc__", None) or "").splitlines()
    return {"function": lines[0]} if callable(thing) and lines else None


def main() -> None:
    name, target = sys.argv[1:]
    module = importlib.import_module(name)
    top = importlib.import_module("cuda.bindings" if "bindings" in name else "cuda")
    found = {n: describe(getattr(module, n)) for n in dir(module) if n.startswith("cuda")}
    names = {n: d for n, d in sorted(found.items()) if d is not None}
    errors = {}
    if "bindings" in name:  # the older module asks the driver even for these texts
        for error, value in found["cudaError_t"]["enum"].items():
            _, text = module.cudaGetErrorString(module.cudaError_t(value))
            errors[error] = text.decode()
    data = {"module": name, "version": top.__version__, "names": names, "errors": errors}
    text = json.dumps(data, sort_keys=True).encode()
    Path(target).write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
