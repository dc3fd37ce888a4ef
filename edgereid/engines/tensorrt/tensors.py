"""What a plan takes and gives, by name, and the shapes that it was built for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgereid.engines.base import TensorSpec
from edgereid.engines.tensorrt.profiles import Profile, Shape
from edgereid.errors import InputError

#: TensorRT's name of a type -> NumPy's. Releases have more types with time; the others are no type
#: that an image or an embedding comes in.
_TYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
}
UNKNOWN_TYPE = "?"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output as the runtime names it."""

    name: str
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Signature:
    """All inputs and outputs of a plan."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def tensors(self) -> tuple[Tensor, Tensor]:
        """The one input and the one output; raises InputError when there are others."""
        specs = (*self.inputs, *self.outputs)
        known = all(spec.dtype != UNKNOWN_TYPE for spec in specs)
        if not (len(self.inputs) == len(self.outputs) == 1 and known):
            taken, given = (
                ", ".join(f"{s} {s.dtype}" for s in side) or "nothing"
                for side in (self.inputs, self.outputs)
            )
            raise InputError(
                f"the plan is no embedding network: it takes {taken} and gives {given}; one batch "
                "of images in and one of embeddings out is needed."
            )
        taken_one, given_one = (Tensor(spec.name, np.dtype(spec.dtype)) for spec in specs)
        return taken_one, given_one


def signature_of(trt: Any, engine: Any) -> Signature:
    """Every input and output. Raises InputError on one that is not plain memory of the GPU."""
    specs: dict[bool, list[TensorSpec]] = {True: [], False: []}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
            raise InputError(f"the plan wants {name!r} in the processor's memory: it is no image.")
        if engine.get_tensor_format(name) != trt.TensorFormat.LINEAR:
            raise InputError(
                f"{name!r} is laid out as {engine.get_tensor_format_desc(name)}: build the plan "
                "with plain (linear) inputs and outputs."
            )
        shape = tuple(int(n) if n >= 0 else None for n in engine.get_tensor_shape(name))
        taken = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        specs[taken].append(TensorSpec(name, shape, _type_name(trt, engine, name)))
    return Signature(tuple(specs[True]), tuple(specs[False]))


def _type_name(trt: Any, engine: Any, name: str) -> str:
    dtype = engine.get_tensor_dtype(name)
    for ours, numpy_name in _TYPES.items():
        if dtype == getattr(trt.DataType, ours, None):
            return numpy_name
    return UNKNOWN_TYPE


def profiles_of(engine: Any, images: TensorSpec) -> tuple[Profile, ...]:
    """The profiles of a plan; one that holds just its shape where nothing is dynamic."""
    fixed = tuple(n for n in images.shape if n is not None)
    if len(fixed) == len(images.shape):
        return (Profile(0, fixed, fixed, fixed),)
    return tuple(
        Profile(index, *(_shape(d) for d in engine.get_tensor_profile_shape(images.name, index)))
        for index in range(engine.num_optimization_profiles)
    )


def _shape(dims: Any) -> Shape:
    return tuple(int(n) for n in dims)
