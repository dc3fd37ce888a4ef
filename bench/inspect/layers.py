"""The engine inspector's JSON as records: 8.2 to 10.x (``Bindings``) and 11.x (``I/O Tensors``).

source: NVIDIA's page "Migrating IEngineInspector Usage from TensorRT 10.x to 11.x", and files that
TensorRT 8.x, 10.x and 11.x wrote (tests/bench/inspect/data). Built with detailed verbosity a layer
is an object, else a mere name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from edgereid.bench.inspect.json_text import objects_of, parse, text_of
from edgereid.bench.inspect.types import datatype
from edgereid.errors import InputError

MAX_LAYERS = 100_000
#: The copy of the network for an optimisation profile but the first is marked so.
_PROFILE = re.compile(r" \[profile (\d{1,6})\]")


@dataclass(frozen=True, slots=True)
class Tensor:
    """``type`` as in ``types.py``; None where it is not told or not understood."""

    name: str
    type: str | None


@dataclass(frozen=True, slots=True)
class EngineLayer:
    """A layer of a built engine, as the inspector tells it. ``kind`` is TensorRT's ``LayerType``,
    ``weights`` the type they are stored in; ``told``: more than the name is known."""

    name: str
    kind: str = ""
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    weights: str | None = None
    tactic: str = ""
    metadata: str = ""
    origin: str = ""
    told: bool = False
    profile: int = 0


@dataclass(frozen=True, slots=True)
class Information:
    """All layers of an engine, in the order they run. ``form`` is "8.x to 10.x" or "11.x", None
    where the file does not show it; ``tensors``: names of the engine's inputs and outputs."""

    layers: tuple[EngineLayer, ...]
    tensors: tuple[str, ...]
    form: str | None

    @property
    def detailed(self) -> bool:
        """Whether types are told at all."""
        return any(layer.told for layer in self.layers)

    def of_profile(self, index: int) -> tuple[EngineLayer, ...]:
        """The layers of one optimisation profile. Raises InputError when it has none."""
        chosen = tuple(layer for layer in self.layers if layer.profile == index)
        if not chosen:
            known = ", ".join(str(i) for i in sorted({layer.profile for layer in self.layers}))
            raise InputError(f"the engine has no layer of profile {index}. Profiles: {known}.")
        return chosen


def information(text: str, source: str) -> Information:
    """Parse the inspector's JSON. Raises InputError, naming ``source``."""
    return from_value(parse(text, source), source)


def is_information(value: Any) -> bool:
    """Whether a JSON value is of the inspector's kind."""
    return isinstance(value, dict) and "Layers" in value


def from_value(value: Any, source: str) -> Information:
    """As ``information``, of a JSON value that was parsed already."""
    entries = value.get("Layers") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{source} is no layer information: it has no list 'Layers'.")
    if not entries:
        raise InputError(
            f"{source} names no layer: build the engine with the profiling verbosity 'detailed'."
        )
    if len(entries) > MAX_LAYERS:
        raise InputError(f"{source} names {len(entries):,} layers: more than {MAX_LAYERS:,}.")
    layers = tuple(_layer(entry, f"{source}, layer {i}") for i, entry in enumerate(entries))
    form = "11.x" if "I/O Tensors" in value else "8.x to 10.x" if "Bindings" in value else None
    return Information(layers, _tensors(value, source), form)


def _layer(entry: Any, where: str) -> EngineLayer:
    if isinstance(entry, str):
        return EngineLayer(entry, profile=_profile(entry))
    if not isinstance(entry, dict) or not isinstance(entry.get("Name"), str):
        raise InputError(f"{where} is neither a name nor an object with a 'Name'.")
    return EngineLayer(
        name=entry["Name"],
        kind=text_of(entry, "LayerType", where),
        inputs=tuple(_tensor(t, where) for t in objects_of(entry, "Inputs", where)),
        outputs=tuple(_tensor(t, where) for t in objects_of(entry, "Outputs", where)),
        weights=_weights(entry, where),
        tactic=text_of(entry, "TacticName", where) or text_of(entry, "TacticValue", where),
        metadata=text_of(entry, "Metadata", where),
        origin=text_of(entry, "Origin", where),
        told=True,
        profile=_profile(entry["Name"]),
    )


def _profile(name: str) -> int:
    found = _PROFILE.search(name)
    return int(found.group(1)) if found else 0


def _tensor(entry: dict[str, Any], where: str) -> Tensor:
    described = (text_of(entry, k, where) for k in ("Format/Datatype", "Datatype", "DataType"))
    return Tensor(text_of(entry, "Name", where), datatype(" ".join(described)))


def _weights(entry: dict[str, Any], where: str) -> str | None:
    """Up to 10.x an object with a ``Type``; in 11.x the first constant of two or more dimensions,
    as scales and factors have one."""
    for key in ("Weights", "ConvWeights"):
        if isinstance(entry.get(key), dict):
            return datatype(text_of(entry[key], "Type", where))
    for constant in objects_of(entry, "Constants", where):
        dimensions = constant.get("Dimensions")
        if isinstance(dimensions, list) and len(dimensions) > 1:
            return _tensor(constant, where).type
    return None


def _tensors(value: dict[str, Any], source: str) -> tuple[str, ...]:
    if "I/O Tensors" in value:
        return tuple(text_of(t, "Name", source) for t in objects_of(value, "I/O Tensors", source))
    names = value.get("Bindings", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{source}: 'Bindings' is no list of names.")
    return tuple(names)
