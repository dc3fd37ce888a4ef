"""Reads the ONNX file that is to be checked; it may come from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgereid.bundle import Bundle
from edgereid.engines.onnx_file import read_onnx
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError, UsageError
from edgereid.export.lint.targets import Target
from edgereid.export.lint.view import View

MAX_BYTES = 2**31 - 1  # of a protobuf message
MAX_NODES = 100_000


def find_model(path: Path, target: Target) -> Path:
    """The ONNX file to read: ``path`` itself, or of a bundle the one made for ``target``, else its
    float network. Raises UsageError and InputError, IntegrityError for a changed bundle."""
    if not path.is_dir():
        if path.suffix.lower() != ".onnx":
            raise UsageError(f"{path} is no .onnx file and no bundle: lint reads ONNX.")
        if not path.is_file():
            raise InputError(f"{path} is no file: give an ONNX file or a bundle's directory.")
        return path
    bundle = Bundle.open(path)
    names = [f.name for f in bundle.manifest.files]
    floats = [f.name for f in bundle.find("float") if f.name.endswith(".onnx")]
    for name in (target.bundle_file, *floats):
        if name in names:
            return path / name
    raise InputError(f"the bundle {path} holds no ONNX file for {target.name}.")


def load_model(path: Path) -> Any:
    """The onnx.ModelProto in a file; weights in other files stay there. Raises InputError."""
    import onnx

    read_onnx(path)  # a cheap look that refuses what is no ONNX file, before all of it is parsed
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(
            f"{path} has {size:,} bytes: an ONNX file has at most {MAX_BYTES:,}; "
            "store large weights beside it."
        )
    with runtime_errors(f"{path} is not an ONNX file that can be read"):
        model = onnx.load_model_from_string(path.read_bytes())
    nodes = len(model.graph.node)
    if nodes > MAX_NODES:
        raise InputError(f"{path} has {nodes:,} nodes: at most {MAX_NODES:,} are checked.")
    if not all(isinstance(name, str) for name in _names(model)):
        raise InputError(f"{path} is not an ONNX file that can be read (a name is no UTF-8 text).")
    return model


def _names(model: Any) -> Iterator[Any]:
    """Names that the lint reads; protobuf gives those that are no text as bytes."""
    for node in View(model).every_node():
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        yield value.name
    yield from (o.domain for o in model.opset_import)
    yield from (n for f in model.functions for n in (f.domain, f.name))
