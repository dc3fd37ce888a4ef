"""The loss: the float network's embeddings, as they tell people apart.

Raw embeddings of all people point the same way, so lengths are measured from their mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

RELATIONS = 1.0  # weight of the second term


@dataclass(frozen=True, slots=True)
class Distillation:
    """``centre`` (D,): the mean embedding of the float network on training images."""

    centre: Tensor

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Embeddings (B, D) -> their squared distance relative to the squared distance from the
        mean, plus the mean squared change of all cosines within the batch; a scalar."""
        s, t = student - self.centre, teacher - self.centre
        lengths = t.square().sum(dim=1).clamp(min=torch.finfo(t.dtype).tiny)
        moved = ((s - t).square().sum(dim=1) / lengths).mean()
        relations = (_cosines(s) - _cosines(t)).square().mean()
        return moved + RELATIONS * relations

    def error(self, student: Tensor, teacher: Tensor) -> float:
        """One minus the mean centred cosine."""
        cosine = functional.cosine_similarity(student - self.centre, teacher - self.centre)
        return 1.0 - float(cosine.mean())


def _cosines(x: Tensor) -> Tensor:
    unit = functional.normalize(x)
    return unit @ unit.T
