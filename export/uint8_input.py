"""Normalisation and layout inside the graph: the host copies the pixels of a crop as they are.

The graph takes (N, H, W, 3) uint8 in RGB, a quarter of the bytes of (N, 3, H, W) float32, and
multiplies and adds the very numbers that ``edgereid.images.normalise`` does. The conversion to
float32 comes first: TensorRT lets a uint8 input go nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgereid.export.incoming.edit import names_of, rename, replace_nodes, set_constant, unique
from edgereid.export.options import ExportOptions
from edgereid.export.origin import MODEL_FILE, Origin, Wrapped, Written
from edgereid.files import write_bytes
from edgereid.images import Batch, Preprocessing, channel_scales, normalise

_FIRST = "input/"  # in the names of the new nodes, and of what they make


def taking_bytes(origin: Origin, options: ExportOptions) -> Origin:
    """``origin``, whose ``model.onnx`` takes bytes where the options ask for it."""
    return _TakingBytes(origin) if options.uint8_input else origin


@dataclass(frozen=True, slots=True)
class _TakingBytes(Wrapped):
    """Writes ``model.onnx`` as ``origin`` does, with the normalisation put before it."""

    @property
    def preprocessing(self) -> Preprocessing:
        return self.origin.preprocessing.taken_as("uint8")

    def write(self, directory: Path, crops: Batch) -> Written:
        """As ``origin``, of crops (N, H, W, 3) uint8: the reference is that of the network on
        normalised images, so what is compared with it is the normalisation as well."""
        import onnx

        written = self.origin.write(directory, normalise(crops, self.origin.preprocessing))
        path = directory / MODEL_FILE
        model = with_uint8_input(onnx.load(str(path)), self.preprocessing)
        write_bytes(path, model.SerializeToString(deterministic=True))
        return written


def with_uint8_input(model: Any, preprocessing: Preprocessing) -> Any:
    """A copy of an onnx.ModelProto with one input (N, 3, H, W) float32 that takes (N, H, W, 3)
    uint8 in RGB under the same name. The names in the network stay as they are."""
    import onnx
    from onnx import TensorProto, helper

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    name = graph.input[0].name
    batch, _, height, width = graph.input[0].type.tensor_type.shape.dim
    taken = names_of(changed)
    front: list[Any] = []

    def add(kind: str, inputs: list[str], **attributes: Any) -> list[str]:
        label = unique(f"{_FIRST}{kind}", taken)
        front.append(helper.make_node(kind, inputs, [label], name=label, **attributes))
        return [label]

    def constant(label: str, values: Any) -> str:
        label = unique(f"{_FIRST}{label}", taken)
        set_constant(changed, label, values)
        return label

    scale, shift = (v.reshape(1, 3, 1, 1) for v in channel_scales(preprocessing))
    pixels = add("Cast", [name], to=TensorProto.FLOAT)
    pixels = add("Transpose", pixels, perm=[0, 3, 1, 2])
    if preprocessing.color == "BGR":
        pixels = add("Gather", [*pixels, constant("order", np.array([2, 1, 0]))], axis=1)
    pixels = add("Mul", [*pixels, constant("factor", scale)])
    (images,) = add("Add", [*pixels, constant("shift", shift)])
    rename(changed, {name: images})
    shape = [batch.dim_param or batch.dim_value, height.dim_value, width.dim_value, 3]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.UINT8, shape))
    replace_nodes(changed, [*front, *graph.node])
    onnx.checker.check_model(changed)
    return changed
