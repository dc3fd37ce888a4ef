"""How far a quantised model moves the embeddings of a few crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.session import open_session
from edgereid.retrieval.centred import centred_cosines


def features_of(model: Any, crops: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
    """Features (N, D) of crops (N, 3, H, W), one at a time, by an onnx.ModelProto that is run in
    float between its roundings."""
    session = open_session(model, threads)
    source = model.graph.input[0].name
    singles = np.split(crops, len(crops))
    return np.concatenate([session.run(None, {source: image})[0] for image in singles])


@dataclass(frozen=True, slots=True)
class Judge:
    """Crops on which a step is judged, and the float network's features of them."""

    crops: NDArray[np.float32]
    reference: NDArray[np.float32]
    threads: int

    def features(self, model: Any) -> NDArray[np.float32]:
        return features_of(model, self.crops, self.threads)

    def error(self, model: Any) -> float:
        """``error_of`` an onnx.ModelProto's features."""
        return self.error_of(self.features(model))

    def error_of(self, features: NDArray[np.float32]) -> float:
        """One minus the mean centred cosine to the float network's."""
        return 1.0 - float(centred_cosines(self.reference, features).mean())
