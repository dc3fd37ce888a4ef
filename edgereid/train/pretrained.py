"""Start from pretrained weights: what fits is loaded, and a report says what not and why.

Loaded before spectral normalisation, which renames the weights. Which names mean which layer:
``naming.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgereid.errors import InputError, UsageError
from edgereid.files import sha256
from edgereid.models.registry import Network
from edgereid.train.naming import HEAD, NAMINGS, SHAPE, Fit, best_fit, is_resnet50, roots
from edgereid.train.pretrained_file import TORCHVISION, locate, read

#: Of the convolution weights in the file, at least this part must fit. By mere coincidence of names
#: and shapes three fifths of a ResNet-50 fit a ResNeSt, and half of a ResNet-101 a ResNet-50.
LEAST_SHARE = 2 / 3
_SHOWN = 6  # layers a line


@dataclass(frozen=True, slots=True)
class Rest:
    """Layers (a beginning stands for all tensors under it) that share a reason."""

    why: str
    tensors: int
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What ``load_pretrained`` did. ``tensors`` and ``parameters`` count what the network got (a
    layer that is copied into several branches counts in each); ``left`` are the network's layers
    that stay as initialised, ``unused`` those of the file that go nowhere."""

    file: str
    sha256: str
    naming: str
    tensors: int
    parameters: int
    left: tuple[Rest, ...]
    unused: tuple[Rest, ...]

    @property
    def fresh(self) -> tuple[str, ...]:
        """The deployable layers that stay as initialised."""
        return tuple(layer for rest in self.left if rest.why != HEAD for layer in rest.layers)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``weights.json`` and checkpoints keep them."""
        value = asdict(self)
        for key in ("left", "unused"):
            value[key] = [{**rest, "layers": list(rest["layers"])} for rest in value[key]]
        return value

    def lines(self) -> tuple[str, ...]:
        """The report for a person: a line for what was loaded and one for each reason."""
        head = (
            f"pretrained: {self.tensors} tensors, {self.parameters:,} parameters from {self.file} "
            f"(names: {self.naming})"
        )
        left = (f"  left as initialised: {_words(r)}" for r in self.left)
        return (head, *left, *(f"  not used: {_words(r)}" for r in self.unused))


def _words(rest: Rest) -> str:
    more = len(rest.layers) - _SHOWN
    tail = f" and {more} more" if more > 0 else ""
    return f"{', '.join(rest.layers[:_SHOWN])}{tail} ({rest.why})"


def check_choice(choice: str, network: Network, name: str) -> None:
    """Raise UsageError where torchvision's file is asked for and ``network`` has no ResNet-50."""
    if choice == TORCHVISION and not is_resnet50(network.state_dict()):
        raise UsageError(
            f"--pretrained torchvision is a ResNet-50, which {name} is not built on: "
            "give a file of its own weights."
        )


def load_pretrained(path: Path, network: Network, deployable: frozenset[str], name: str) -> Report:
    """Load what fits from a file into the ``deployable`` tensors of ``network`` (called ``name``),
    running statistics of batch norm included; the training heads stay as they are.

    Raises InputError, and loads nothing, when the file cannot be read, when less than LEAST_SHARE
    of its convolutions fit, or when a value that would be loaded is not finite.
    """
    file = read(path)
    own = network.state_dict()
    fit = best_fit(file.tensors, own, deployable)
    _check_share(path, fit, file.tensors, name)
    values = {t: file.tensors[n].to(own[t].dtype) for n, ts in fit.used.items() for t in ts}
    for target, value in values.items():
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{path} is of no use: values for {target} are not finite.")
    with torch.no_grad():
        for target, value in values.items():
            own[target].copy_(value)
    others = dict.fromkeys(file.others, "no dense tensor")
    parameters = dict(network.named_parameters())
    return Report(
        file=path.name,
        sha256=sha256(path),
        naming=fit.naming,
        tensors=len(values),
        parameters=sum(v.numel() for t, v in values.items() if t in parameters),
        left=_grouped(fit.left, [t for t in own if t in fit.left or t in values], {}),
        unused=_grouped(fit.unused | others, [*file.tensors, *file.others], fit.shapes),
    )


def _check_share(path: Path, fit: Fit, file: Mapping[str, Tensor], name: str) -> None:
    convolutions = [n for n, t in file.items() if t.ndim == 4]
    fitting = sum(n in fit.used for n in convolutions)
    if convolutions and fitting >= LEAST_SHARE * len(convolutions):
        return
    first = next((n for n in convolutions if n not in fit.used), "")
    what = f" ({first}: {fit.shapes.get(first, fit.unused[first])})" if first else ""
    raise InputError(
        f"{path} does not fit {name}: {fitting} of its {len(convolutions)} convolutions{what}, "
        f"best by the names of {fit.naming}; known: {', '.join(n.name for n in NAMINGS)}. "
        "Give weights of the network's own backbone."
    )


def _grouped(
    whys: Mapping[str, str], every: list[str], details: Mapping[str, str]
) -> tuple[Rest, ...]:
    """One ``Rest`` for each reason in ``whys`` (name -> reason) among the names ``every``."""
    found = []
    for why in dict.fromkeys(whys.values()):
        names = [n for n, w in whys.items() if w == why]
        covered = roots(names, (n for n in every if whys.get(n) != why))
        if why == SHAPE and details:
            covered = tuple(f"{n} {details[n]}" for n in names)
        found.append(Rest(why, len(names), covered))
    return tuple(found)


def of_resumed_run(choice: str | None, saved: dict[str, Any] | None) -> dict[str, Any] | None:
    """The report of a run that is resumed: the saved one, since the weights are in the checkpoint.

    Where ``choice`` names a file again, its digest takes its place (its name, where the file is
    gone), so that another one shows as a difference.
    """
    if choice is None:
        return saved
    path = locate(choice)
    again = {"sha256": sha256(path)} if path.is_file() else {"file": path.name}
    return {**(saved or {}), **again}
