"""Trained weights of the network with batch norm folded, as weights of the network itself.

Every batch norm that was folded becomes exactly the identity (weight 1, mean 0, variance + eps 1),
so that folding it again, as an export does, gives back the trained weights to the last bit.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgereid.errors import InputError
from edgereid.export.torch_onnx import fold_batch_norm
from edgereid.models.registry import Network


def unfold(network: Network, folded: Mapping[str, Tensor]) -> Network:
    """A copy of ``network`` in evaluation mode whose folding has the tensors ``folded`` (by their
    names there) and otherwise those of ``network``'s own.

    Raises InputError when a tensor has no place in the network.
    """
    own = copy.deepcopy(network).eval()
    flat = copy.deepcopy(own)
    fold_batch_norm(flat)
    state = {**flat.state_dict(), **folded}
    _set(own, "", state)
    again = copy.deepcopy(own)
    fold_batch_norm(again)
    kept = again.state_dict()
    for name, value in folded.items():
        if name not in kept or not torch.equal(kept[name], value):
            raise InputError(
                f"{name} of the exported network is no weight of a layer of its own: this network "
                "cannot be trained with quantisation."
            )
    return own


def _set(module: nn.Module, prefix: str, state: Mapping[str, Tensor]) -> None:
    """Write every layer's tensors, and make identities of the batch norms that were folded."""
    with torch.no_grad():
        for name, tensor in module.named_parameters(recurse=False):
            if prefix + name in state and state[prefix + name].shape == tensor.shape:
                tensor.copy_(state[prefix + name])
    for name, child in module.named_children():
        _set(child, f"{prefix}{name}.", state)
    if isinstance(module, nn.Sequential):
        for (first, layer), (_, norm) in pairwise(module.named_children()):
            if _folds(layer, norm):
                _make_identity(norm, state[f"{prefix}{first}.bias"], layer.bias is None)


def _folds(layer: nn.Module, norm: nn.Module) -> bool:
    return (isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)) or (
        isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
    )


def _make_identity(norm: nn.Module, bias: Tensor, carries: bool) -> None:
    """``carries``: the layer has no bias, so that it is the norm's to add."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    with torch.no_grad():
        for tensor, value in ((norm.weight, 1.0), (norm.running_mean, 0.0)):
            if tensor is not None:
                tensor.fill_(value)
        if norm.running_var is not None:
            norm.running_var.copy_(_complement(norm.eps).expand_as(norm.running_var))
        if norm.bias is not None:
            norm.bias.copy_(bias if carries else torch.zeros_like(bias))


def _complement(eps: float) -> Tensor:
    """The float32 which with ``eps`` gives exactly one."""
    value = torch.tensor(1.0 - eps, dtype=torch.float32)
    for candidate in (value, torch.nextafter(value, torch.tensor(2.0)), torch.ones(())):
        if float(candidate + eps) == 1.0:
            return candidate
    raise InputError(f"a batch norm with eps {eps} cannot be made the identity.")
