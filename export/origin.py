"""What an export starts from: a registered network with weights, or an ONNX file from elsewhere.

Both deliver the same: ``model.onnx`` with a dynamic batch, and features to compare it with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgereid.bundle import BundleFile
from edgereid.images import Batch, Preprocessing

MODEL_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written beside ``model.onnx`` and what is to be recorded; ``reference``: the
    features (N, D) of the crops by the network itself, before any conversion."""

    reference: NDArray[np.float32]
    files: tuple[BundleFile, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


class Origin(Protocol):
    """A network that can be written as ONNX."""

    @property
    def name(self) -> str:
        """What the manifest calls it."""

    @property
    def peer(self) -> str:
        """In words, what ``model.onnx`` is compared with."""

    @property
    def preprocessing(self) -> Preprocessing: ...

    def write(self, directory: Path, crops: Batch) -> Written:
        """Write ``model.onnx`` into ``directory``; ``crops`` are preprocessed.

        Raises InputError when the network gives NaN or nearly the same feature for every crop.
        """


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What another origin is, for one that changes what that one writes."""

    origin: Origin

    @property
    def name(self) -> str:
        return self.origin.name

    @property
    def peer(self) -> str:
        return self.origin.peer

    @property
    def preprocessing(self) -> Preprocessing:
        return self.origin.preprocessing
