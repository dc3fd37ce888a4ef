"""What a network takes and gives: one batch of float32 images, one embedding for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgereid.errors import InputError
from edgereid.export.incoming.edit import prune
from edgereid.export.incoming.options import IncomingOptions

MAX_BATCH = 256
_ALLOWED = "one float32 input Nx3xHxW is needed"


@dataclass(frozen=True, slots=True)
class Signature:
    """``batch``: the size the file was exported with, None: any."""

    input: str
    output: str
    batch: int | None
    height: int
    width: int


def read_signature(model: Any, options: IncomingOptions, what: str) -> Signature:
    """Check the input and choose the output, on a cleaned model.

    Raises InputError that says what the file has and what is needed.
    """
    inputs = list(model.graph.input)
    if len(inputs) != 1:
        had = ", ".join(f"{_short(i.name)} {_shape_text(i)}" for i in inputs) or "none"
        raise InputError(f"{what} has {len(inputs)} inputs ({had}): {_ALLOWED}.")
    batch, height, width = _image_shape(inputs[0], options.input_size, what)
    output = _choose_output(model, options.output, what)
    return Signature(inputs[0].name, output, batch, height, width)


def _image_shape(
    value: Any, size: tuple[int, int] | None, what: str
) -> tuple[int | None, int, int]:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    text = f"{what} takes {_short(value.name)} {_shape_text(value)}"
    if tensor.elem_type != TensorProto.FLOAT:
        raise InputError(f"{text}: {_ALLOWED}; export it with float32 images.")
    dims = _dims(value)
    if len(dims) != 4:
        raise InputError(f"{text}: {_ALLOWED}.")
    batch, channels, height, width = dims
    if channels not in (3, None):
        hint = "export it with the channels first (NCHW)" if width == 3 else "export it for RGB"
        raise InputError(f"{text}: {_ALLOWED}; {hint}.")
    if size is not None:
        for given, own in zip(size, (height, width), strict=True):
            if own not in (given, None):
                raise InputError(
                    f"{text}, --input-size says {size[0]}x{size[1]}: the size is fixed in the "
                    "file; leave --input-size out, or export for another size."
                )
        height, width = size
    if batch is not None and batch > MAX_BATCH:
        raise InputError(f"{text}: a fixed batch of at most {MAX_BATCH} is taken.")
    if height is None or width is None:
        raise InputError(
            f"{text}, any height and width: say at what size it is to run, such as "
            "--input-size 256x128."
        )
    return batch, height, width


def _dims(value: Any) -> list[int | None]:
    """Dimensions; what is named, missing or not above zero is dynamic."""
    return [d.dim_value if d.dim_value > 0 else None for d in value.type.tensor_type.shape.dim]


def _choose_output(model: Any, wanted: str | None, what: str) -> str:
    given = {o.name: o for o in model.graph.output}
    listed = ", ".join(f"{_short(o.name)} {_shape_text(o)}" for o in given.values()) or "none"
    if wanted is not None:
        produced = {name for node in model.graph.node for name in node.output if name}
        if wanted not in produced:
            raise InputError(f"{what} has no tensor {wanted!r:.80}: its outputs are {listed}.")
        return wanted
    if len(given) != 1:
        raise InputError(
            f"{what} has {len(given)} outputs ({listed}): name the embedding with --output NAME."
        )
    return str(next(iter(given)))


def keep_output(model: Any, name: str) -> None:
    """Let the model give the tensor ``name`` alone, and no more than that needs."""
    from onnx import ValueInfoProto

    del model.graph.output[:]  # what a file says of its type is not needed, and may be wrong
    model.graph.output.append(ValueInfoProto(name=name))
    prune(model)


def fix_input(model: Any, size: tuple[int, int], batch: int | None) -> None:
    """Give the input the shape (batch, 3, height, width); a batch of None is dynamic. What the
    file says of its output's shape, and of others inside, is dropped: it is inferred anew."""
    from onnx import TensorProto, helper

    name, output = model.graph.input[0].name, model.graph.output[0].name
    shape = ["batch" if batch is None else batch, 3, *size]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    del model.graph.value_info[:]


def _shape_text(value: Any) -> str:
    """``Nx3x256x128 float32``, as far as the file says it."""
    from onnx import TensorProto

    tensor = value.type.tensor_type
    named = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64", 0: ""}
    kind = named.get(tensor.elem_type) or TensorProto.DataType.Name(tensor.elem_type).lower()
    return " ".join(["x".join("N" if d is None else str(d) for d in _dims(value)), kind]).strip()


def _short(name: str) -> str:
    return f"{name!r:.60}"
