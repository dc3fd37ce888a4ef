"""Reads an ONNX file that may come from anywhere, its weights in other files included."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgereid.engines.companions import companions
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError
from edgereid.export.lint.load import load_model

MAX_BYTES = 2**31 - 1  # of a protobuf message; what is exported is one file again
_EXTERNAL = 1  # TensorProto.DataLocation


def load_incoming(path: Path) -> Any:
    """The onnx.ModelProto in a file, checked, functions written out and all weights in memory.

    Raises InputError when it is missing, damaged, larger than ``MAX_BYTES`` with its weights, or
    when it keeps tensors outside its directory.
    """
    import onnx
    from onnx import inliner

    if not path.is_file():
        raise InputError(f"{path} is no file: give an ONNX file.")
    _require_small(path, sum(f.stat().st_size for f in (path, *_data_files(path))))
    model = load_model(path)
    _require_small(path, _declared_bytes(model, path))
    with runtime_errors(f"the weights of {path} cannot be read"):
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    with runtime_errors(f"{path} breaks the rules of ONNX"):
        if model.functions:
            model = inliner.inline_local_functions(model)
        _complete(model)
        onnx.checker.check_model(model)
    for tensor in _tensors(model.graph):  # the checker does not count the values of all types
        with runtime_errors(f"the constant {tensor.name!r:.60} of {path} is damaged"):
            onnx.numpy_helper.to_array(tensor)
    return model


def _complete(model: Any) -> None:
    """Give inputs and outputs the shapes that some exporters leave out and the checker asks for:
    four open dimensions, and for outputs one that nobody reads."""
    for value in model.graph.input:
        tensor = value.type.tensor_type
        if tensor.elem_type and not tensor.HasField("shape"):
            for _ in range(4):
                tensor.shape.dim.add()
    for value in model.graph.output:
        if not value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.SetInParent()


def _data_files(path: Path) -> list[Path]:
    return [path.parent / name for name in companions(path)]


def _require_small(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise InputError(
            f"{path} has {size:,} bytes with its weights: at most {MAX_BYTES:,} (2 GiB) are taken; "
            "no re-identification network for the edge is that large."
        )


def _declared_bytes(model: Any, path: Path) -> int:
    """The bytes that all tensors in other files say they have: the same ones may be named twice."""
    total = 0
    for tensor in _tensors(model.graph):
        if tensor.data_location != _EXTERNAL:
            continue
        entries = {e.key: e.value for e in tensor.external_data}
        with runtime_errors(f"{path} gives the tensor {tensor.name!r:.60} no sound place"):
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", 0))
            size = (path.parent / entries["location"]).stat().st_size
            if min(offset, length, *tensor.dims, 0) < 0 or offset + length > size:
                raise ValueError("its bytes are not in the file")
        total += length or size - offset
        total += math.prod(tensor.dims)  # at least a byte each, whatever the length says
    return total


def _tensors(graph: Any) -> Iterator[Any]:
    """The tensors of a graph, of its nodes and of the graphs in them."""
    yield from graph.initializer
    for node in graph.node:
        for a in node.attribute:
            yield from (*a.tensors, *([a.t] if a.HasField("t") else []))
            for inner in (*a.graphs, *([a.g] if a.HasField("g") else [])):
                yield from _tensors(inner)
