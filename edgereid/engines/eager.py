"""PyTorch without compilation: ``.safetensors`` weights of a registered network. The reference that
every export is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from edgereid.bundle import Bundle
from edgereid.cpus import usable_cpus
from edgereid.engines.base import Engine, EngineInfo, EngineOptions, TensorSpec
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError
from edgereid.models import registry
from edgereid.models.registry import InputSpec, Network
from edgereid.models.stored import input_of, metadata_of


def identity(path: Path) -> tuple[str, InputSpec]:
    """The network that weights belong to and its input: the manifest's word if they lie in a
    bundle, else the file's own metadata. Raises InputError when neither tells the network."""
    if Bundle.is_bundle(path):
        manifest = Bundle.open(path, verify=False).manifest
        size = (manifest.preprocessing.height, manifest.preprocessing.width)
        return manifest.network, InputSpec(*size)
    with runtime_errors(f"{path} is not a safetensors file that can be read"):
        metadata = metadata_of(path)
    if "network" not in metadata:
        raise InputError(
            f"{path} does not say which network it belongs to: "
            'its safetensors metadata need {"network": NAME}.'
        )
    name = metadata["network"]
    return name, input_of(metadata, registry.entry(name).input, path)


def _check_fit(
    path: Path, name: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> None:
    """Raise InputError that counts and names what does not fit."""
    faults = [
        (sorted(own.keys() - given.keys()), "missing"),
        (sorted(given.keys() - own.keys()), "unknown"),
        (
            sorted(k for k in own.keys() & given.keys() if own[k].shape != given[k].shape),
            "of another shape",
        ),
    ]
    found = [f"{len(keys)} {what} (such as {keys[0]})" for keys, what in faults if keys]
    if found:
        raise InputError(f"{path} does not fit {name}: tensors {', '.join(found)}.")


class EagerEngine(Engine):
    """A registered network with its weights, in evaluation mode, on the processor.

    The number of threads is a setting of the whole process in PyTorch: it is set for the time of
    each run and put back.
    """

    def __init__(self, path: Path, options: EngineOptions) -> None:
        name, spec = identity(path)
        network = registry.build(name, num_ids=None)
        with runtime_errors(f"{path} is not a safetensors file that can be read"):
            weights = load_file(path)
        _check_fit(path, name, network.state_dict(), weights)
        network.load_state_dict(weights)
        self._network = network.eval()
        self._bf16 = options.precision == "bf16"
        self.inputs = (TensorSpec("images", (None, 3, spec.height, spec.width)),)
        self.outputs = (TensorSpec("features", (None, network.feature_size)),)
        self.info = EngineInfo(
            runtime="eager",
            precision="bf16" if self._bf16 else "f32",
            threads=options.threads or usable_cpus(),
            version=str(torch.__version__),
            details={"network": name},
        )
        super().__init__()

    @property
    def network(self) -> Network:
        """The network itself, for looking inside."""
        return self._network

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        images = torch.from_numpy(batch)
        before = torch.get_num_threads()
        torch.set_num_threads(self.info.threads)
        try:
            with (
                torch.inference_mode(),
                torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bf16),
            ):
                out: Tensor = self._network(images)
        finally:
            torch.set_num_threads(before)
        return out.float().numpy()

    def _release(self) -> None:
        del self._network
