"""Deployable weights as safetensors, and the JSON file beside them with their provenance."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

import edgereid
from edgereid.errors import InputError
from edgereid.files import dump_json, sha256, write_bytes, write_text
from edgereid.models.registry import Network
from edgereid.models.stored import metadata_for
from edgereid.train.spectral import folded_state
from edgereid.train.swa import WeightAverage


def deployable(network: Network, keys: frozenset[str]) -> dict[str, Tensor]:
    """The tensors of ``network`` named in ``keys`` (no training heads), contiguous; spectral
    normalisation is folded into them."""
    return {k: v.cpu().contiguous() for k, v in folded_state(network).items() if k in keys}


def write_weights(
    path: Path, network: Network, keys: frozenset[str], name: str, size: tuple[int, int]
) -> None:
    """Write the deployable tensors atomically, with the network's name and the image size (height,
    width) that they are for; equal weights give equal bytes."""
    content = save(deployable(network, keys), metadata=metadata_for(name, size))
    write_bytes(path, _in_order(content))


def _in_order(content: bytes) -> bytes:
    """A safetensors file whose metadata stand in the order of their keys: the library writes them
    in any order. Header: 8 bytes of length, then JSON, filled up with spaces to 8 bytes."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(length)
    assert len(text) == length, "the same words in another order"
    return content[:8] + text + content[8 + length :]


def write_swag(path: Path, average: WeightAverage) -> None:
    """Write mean and variance of every parameter, heads included: ``mean.NAME``, ``variance.NAME``
    (float32), atomically."""
    tensors = {f"mean.{k}": v.float().contiguous() for k, v in average.mean.items()}
    tensors |= {f"variance.{k}": average.variance(k).float().contiguous() for k in average.mean}
    write_bytes(path, save(tensors, metadata={"count": str(average.count)}))


def read_weights(path: Path, network: Network, keys: frozenset[str]) -> None:
    """Load the deployable tensors named in ``keys``; training heads stay as they are.

    Raises InputError when the file is no safetensors file or belongs to another network.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is not a safetensors file that can be read: {error}.") from error
    own = network.state_dict()
    wrong = sorted(keys ^ tensors.keys())
    wrong += [k for k in tensors if k in own and own[k].shape != tensors[k].shape]
    if wrong:
        raise InputError(f"{path} holds the weights of another network: {wrong[0]} does not match.")
    network.load_state_dict(tensors, strict=False)


def write_provenance(weights: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write ``NAME.json`` beside ``NAME.safetensors``: the facts, versions and the digest."""
    value = {
        **facts,
        "weights": {
            "file": weights.name,
            "sha256": sha256(weights),
            "bytes": weights.stat().st_size,
        },
        "versions": {
            "edgereid": edgereid.__version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }
    write_text(weights.with_suffix(".json"), dump_json(value))
    return value
