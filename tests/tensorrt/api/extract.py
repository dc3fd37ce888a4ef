"""Write the API of the ``tensorrt_bindings`` that can be imported here as one compact JSON file.

    PYTHONPATH=UNPACKED_WHEEL LD_LIBRARY_PATH=STUBS python extract.py 10.3.json.xz

The bindings are real; the libraries they are linked against (libnvinfer and so on) are not in the
wheel. For reading names they may be empty: a shared object for each ``NEEDED`` entry, in which each
undefined function of the bindings returns NULL. Nothing of TensorRT itself runs.
"""

from __future__ import annotations

import importlib
import inspect
import json
import lzma
import re
import sys
from pathlib import Path
from typing import Any

HIDDEN = re.compile(r"__(?!init__|enter__|exit__)|_pybind11|_Static")


def signatures(thing: Any) -> list[str]:
    """The signature lines that pybind11 writes at the top of a docstring."""
    doc = (getattr(thing, "__doc__", None) or "").replace("tensorrt_bindings.tensorrt.", "")
    found = re.findall(r"^\s*(?:\d+\. )?(\w*\(.*\)(?: -> .+)?)$", doc, re.MULTILINE)
    return [re.sub(r" at 0x[0-9a-f]+", "", f) for f in found if "*args, **kwargs" not in f]


def member(owner: type, name: str) -> Any:
    """Kind and signatures of a member; None for what is inherited unchanged from ``object``."""
    raw = inspect.getattr_static(owner, name)
    if raw is getattr(object, name, None):
        return None
    if isinstance(raw, property):
        kind = "rw" if raw.fset is not None else "ro"
        typed = [re.sub(r".*-> ", "", s) for s in signatures(raw.fget)]
        return [kind, *typed]
    if isinstance(raw, type):
        return ["class", *enum_members(raw)]
    if callable(raw) or hasattr(raw, "__func__"):
        return ["method", *signatures(getattr(owner, name))]
    if type(raw).__name__ == "pybind11_static_property":
        return ["static"]
    return ["value", repr(raw)]


def enum_members(kind: type) -> list[Any]:
    members = getattr(kind, "__members__", None)
    return [] if members is None else [{name: int(value) for name, value in members.items()}]


def describe(thing: Any) -> Any:
    if isinstance(thing, type):
        members = enum_members(thing)
        if members:
            return {"enum": members[0], "ordered": "__lt__" in vars(thing)}
        found = {
            name: member(thing, name)
            for name in dir(thing)
            if not HIDDEN.match(name) and member(thing, name) is not None
        }
        bases = [b.__name__ for b in thing.__bases__ if not b.__name__.startswith("pybind11")]
        return {"bases": [b for b in bases if b != "object"], "members": found}
    if inspect.isfunction(thing):
        return {"function": [f"{thing.__name__}{inspect.signature(thing)}"]}
    if callable(thing):
        return {"function": signatures(thing)}
    if inspect.ismodule(thing):
        return {"module": thing.__name__}
    return {"constant": str(thing)}


def main() -> None:
    trt = importlib.import_module("tensorrt_bindings")
    names = {n: describe(getattr(trt, n)) for n in sorted(dir(trt)) if not n.startswith("__")}
    text = json.dumps({"version": trt.__version__, "names": names}, sort_keys=True)
    Path(sys.argv[1]).write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
