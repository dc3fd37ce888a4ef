"""The registry: a name for every network variant, and what all networks have in common.

A network file registers a function that takes ``num_ids`` (``None``: no training heads) and holds
only numbers. ``build("dslnet")`` makes the network; ``names()`` lists them.
"""

from __future__ import annotations

import difflib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from edgereid.errors import UsageError

_MODULES = (  # one file a paper
    "edgereid.models.dslnet",
    "edgereid.models.hacnn",
    "edgereid.models.mgn",
    "edgereid.models.osnet",
    "edgereid.models.resnest",
    "edgereid.models.robust_reid",
    "edgereid.models.sa_mbn",
)
_ENTRIES: dict[str, Entry] = {}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Input size in pixels and the normalisation that belongs to the weights (RGB, 0 to 1)."""

    height: int
    width: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Published:
    """What the paper prints about a network; None where it prints nothing. ``outputs``: stage ->
    (H, W) or (D,). ``deviation`` says, in words, where and why our counts differ."""

    parameters: float | None
    macs: float | None
    source: str
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    deviation: str = ""


@dataclass(frozen=True, slots=True)
class TrainOutput:
    """What the losses see: features (B, D) for the metric losses, logits (B, ids) of the heads,
    logits of auxiliary heads."""

    features: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]
    aux_logits: tuple[Tensor, ...] = ()


class Network(nn.Module, ABC):
    """A re-identification network. ``forward`` gives the deployable feature (B, feature_size)."""

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.feature_size = feature_size

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def forward_train(self, x: Tensor) -> TrainOutput: ...


Builder = Callable[[int | None], Network]


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered network."""

    name: str
    build: Builder
    input: InputSpec
    paper: str
    published: Published | None = None


def register(
    name: str, input: InputSpec, paper: str, published: Published | None = None
) -> Callable[[Builder], Builder]:
    """Register a function ``num_ids -> Network`` under ``name``."""

    def decorate(build: Builder) -> Builder:
        if name in _ENTRIES:
            raise ValueError(f"network {name!r} is registered twice")
        _ENTRIES[name] = Entry(name, build, input, paper, published)
        return build

    return decorate


def _load() -> None:
    for module in _MODULES:
        importlib.import_module(module)


def names() -> tuple[str, ...]:
    """The registered names, sorted."""
    _load()
    return tuple(sorted(_ENTRIES))


def entry(name: str) -> Entry:
    """The entry of ``name``; raises UsageError that lists what exists."""
    _load()
    if name not in _ENTRIES:
        close = difflib.get_close_matches(name, _ENTRIES, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"unknown network {name!r}.{hint} Known: {', '.join(names())}.")
    return _ENTRIES[name]


def build(name: str, num_ids: int | None = None) -> Network:
    """Build a network; with ``num_ids`` it carries its training heads."""
    return entry(name).build(num_ids)
