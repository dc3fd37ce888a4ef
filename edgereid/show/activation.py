"""Activation maps: where a network's last feature map responds (DSLNet Figure 3, MGN Figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgereid.engines.base import EngineOptions
from edgereid.images import Preprocessing, load_batch

_BATCH = 16


def energy(features: torch.Tensor) -> NDArray[np.float32]:
    """(B, C, h, w) -> (B, h, w): squared activations summed over the channels, each map divided by
    its length and scaled to 0..1, as Zagoruyko and Komodakis (ICLR 2017) draw attention."""
    squared = features.float().square().sum(1)
    flat = torch.nn.functional.normalize(squared.flatten(1), dim=1).view_as(squared)
    low, high = flat.amin((1, 2), keepdim=True), flat.amax((1, 2), keepdim=True)
    scaled: NDArray[np.float32] = ((flat - low) / (high - low).clamp_min(1e-12)).numpy()
    return scaled


def activation_maps(
    network: torch.nn.Module, paths: Sequence[Path], preprocessing: Preprocessing
) -> list[NDArray[np.float32]]:
    """A map (h, w) of 0..1 for each image.

    The last feature map is the last output of four dimensions with more than one place (h * w > 1)
    that any module gives while the network runs; of several branches, the one that runs last.
    """
    last: dict[str, torch.Tensor] = {}

    def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.dim() == 4 and output[0, 0].numel() > 1:
            last["map"] = output.detach().clone()

    handles = [module.register_forward_hook(keep) for module in network.modules()]
    found: list[NDArray[np.float32]] = []
    try:
        with torch.inference_mode():
            for start in range(0, len(paths), _BATCH):
                last.clear()
                network(torch.from_numpy(load_batch(paths[start : start + _BATCH], preprocessing)))
                found.extend(energy(last["map"]))
    finally:
        for handle in handles:
            handle.remove()
    return found


def network_of(
    weights: Path, preprocessing: Preprocessing | None
) -> tuple[torch.nn.Module, Preprocessing]:
    """The registered network of a weights file, and what its images go through (None: what belongs
    to the network). Raises InputError when the file does not fit."""
    from edgereid.engines.eager import EagerEngine

    engine = EagerEngine(weights, EngineOptions())
    stated = preprocessing or Preprocessing(*engine.input_size)
    return engine.network, stated.taken_as(engine.inputs[0].dtype)
