"""When a loss stops being a number: which layer was first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from edgereid.errors import InputError


def _all_finite(value: Any) -> bool:
    tensors = value if isinstance(value, tuple | list) else (value,)
    return all(bool(torch.isfinite(t).all()) for t in tensors if isinstance(t, Tensor))


def first_bad_layer(network: nn.Module, forward: Callable[[], object]) -> str | None:
    """The name of the first leaf layer whose output is not finite when ``forward`` runs again."""
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not found and not _all_finite(output):
                found.append(name)

        return hook

    leaves = [(n, m) for n, m in network.named_modules() if not any(m.children())]
    handles = [m.register_forward_hook(watch(n)) for n, m in leaves]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def first_bad_gradient(network: nn.Module) -> str | None:
    """The last parameter with a non-finite gradient: the one that backward meets first."""
    gradients = ((n, p.grad) for n, p in network.named_parameters())
    bad = [n for n, g in gradients if g is not None and not _all_finite(g)]
    return bad[-1] if bad else None


def divergence(
    network: nn.Module, forward: Callable[[], object], loss: float, at: str
) -> InputError:
    """The error to raise when the loss or a gradient of the step ``at`` is not finite.

    ``forward`` runs the step's forward pass again, as it was; gradients are still in place.
    """
    layer = first_bad_layer(network, forward)
    if layer is not None:
        culprit = f"the first layer with a non-finite output is {layer}"
    else:
        parameter = first_bad_gradient(network)
        culprit = (
            "all layers' outputs are finite, the loss itself is not"
            if parameter is None
            else f"the first non-finite gradient is that of {parameter}"
        )
    return InputError(
        f"training diverged in {at}: loss {loss}; {culprit}. "
        "The last checkpoint is intact; lower lr or set clip_norm, and start again."
    )
