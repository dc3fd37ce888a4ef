"""What the parser is given: the file as it is, or typed FP16, and the nodes that stay FP32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgereid.errors import InputError
from edgereid.export.tensorrt.recipe import WEAK, Recipe
from edgereid.export.tensorrt.source import Model


@dataclass(frozen=True, slots=True)
class Contents:
    """``data``: an ONNX file's bytes; ``float_layers``: node -> why it stays FP32; ``constrain``:
    the builder has to be told so, since the file's types do not; ``typed``: what the FP16 caster
    did, None where it was not needed."""

    data: bytes
    float_layers: Mapping[str, str] = field(default_factory=dict)
    constrain: bool = False
    typed: Mapping[str, Any] | None = None


def contents(model: Model, recipe: Recipe) -> Contents:
    """Raises InputError when the file cannot be read or is too large to be rewritten."""
    if recipe.cast:
        from edgereid.export.typed.cast import typed_fp16

        proto, report = typed_fp16(model.load())
        said = report.to_json()
        return Contents(_bytes(model, proto), said.pop("float32"), typed=said)
    if recipe.typing != WEAK or recipe.precision == "f32":
        return Contents(_read(model))
    from edgereid.export.typed.rules import float32_layers

    proto = model.load()
    named = _name_all(proto)
    layers = float32_layers(proto)
    return Contents(_bytes(model, proto) if named else _read(model), layers, constrain=True)


def _name_all(proto: Any) -> bool:
    """Name the nodes that have no name, so that their layers can be found; whether there were."""
    taken = {node.name for node in proto.graph.node}
    without = [node for node in proto.graph.node if not node.name]
    for i, node in enumerate(without):
        name = f"{node.op_type}.{i}"
        while name in taken:
            name += "."
        taken.add(name)
        node.name = name
    return bool(without)


def _read(model: Model) -> bytes:
    try:
        return model.path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {model.path}: {error.strerror or error}.") from error


def _bytes(model: Model, proto: Any) -> bytes:
    """One deterministic message, with all tensors in it."""
    try:
        return bytes(proto.SerializeToString(deterministic=True))
    except ValueError as error:  # protobuf: more than 2 GiB
        raise InputError(
            f"{model.path} is too large to be rewritten with all its tensors ({error})."
        ) from error
