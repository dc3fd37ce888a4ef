"""A registered network with weights, as the start of an export."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.bundle import describe_file
from edgereid.export import torch_onnx
from edgereid.export.checks import require_varied
from edgereid.export.options import ExportOptions
from edgereid.export.origin import MODEL_FILE, Written
from edgereid.export.sources import weights_file
from edgereid.files import sha256
from edgereid.models import registry
from edgereid.progress import note


class Registered:
    """Loads the network; raises UsageError for an unknown name or a crop that it does not have,
    InputError for weights that are missing or do not fit."""

    peer = "PyTorch"

    def __init__(self, options: ExportOptions) -> None:
        registry.entry(options.network)
        if options.crop is not None:
            torch_onnx.require_cropping(options.network)
        self.name = options.network
        self._shipped = options.weights is None
        self._weights = weights_file(options)
        self._network, self.preprocessing = torch_onnx.load_network(
            options.network, self._weights, options.crop, options.incoming.input_size
        )

    def write(self, directory: Path, crops: NDArray[np.float32]) -> Written:
        """Write ``weights.safetensors`` and ``model.onnx``; see ``Origin.write``."""
        weights = directory / "weights.safetensors"
        shutil.copyfile(self._weights, weights)
        reference = torch_onnx.reference_features(self._network, crops)
        require_varied(reference, f"{self.name} with {self._weights.name}")
        note(f"{self.name}: writing ONNX")
        size = (self.preprocessing.height, self.preprocessing.width)
        torch_onnx.export_onnx(self._network, size, directory / MODEL_FILE)
        provenance: dict[str, Any] = {
            "weights": {
                "file": self._weights.name,
                "sha256": sha256(weights),
                "shipped": self._shipped,
            }
        }
        if isinstance(self._network, torch_onnx.Cropping):
            provenance["crop"] = self._network.crop
        return Written(reference, (describe_file(weights, "weights"),), provenance)
