"""Spectral normalisation of convolutions while training, and its folding into plain weights.

The parametrisation is PyTorch's, with one power iteration a step. Pretrained weights are loaded
before it, since it renames the weights (Munir & Micheloni, SA-MBN).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

_INFIX, _SUFFIX = ".parametrizations.", ".original"


def add_spectral_norm(network: nn.Module) -> None:
    """Divide the weight of every Conv2d, where that is not done yet, by its largest singular
    value (an estimate that follows the weight during training)."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d) and not is_parametrized(module, "weight"):
            parametrizations.spectral_norm(module)


def plain_name(name: str) -> str:
    """The parameter's name in the network without spectral normalisation."""
    return name.replace(_INFIX, ".").removesuffix(_SUFFIX) if _INFIX in name else name


def folded_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of the network without spectral normalisation that computes the same in evaluation
    mode, bit by bit. The network stays as it is."""
    state = {k: v for k, v in network.state_dict().items() if _INFIX not in k}
    for name, module in network.named_modules():
        if not is_parametrized(module):
            continue
        mode = module.training
        module.eval()  # in training mode reading the weight would advance the power iteration
        module.parametrizations.eval()
        with torch.no_grad():
            for tensor in module.parametrizations:
                state[f"{name}.{tensor}"] = getattr(module, tensor).detach().clone()
        module.train(mode)
    return state
