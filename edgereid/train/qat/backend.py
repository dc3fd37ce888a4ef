"""The interface to whoever rounds in training, and the choice of it by name.

A backend rounds, and passes gradients as if it had not (straight-through estimator: Bengio et al.,
"Estimating or Propagating Gradients Through Stochastic Neurons"); where, and on which grid, is
decided outside, so that training sees what the Q/DQ writer writes.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Protocol

from torch import nn

from edgereid.errors import MissingRuntimeError


class Backend(Protocol):
    """Makes the modules that round."""

    def activation(self, qmin: int, qmax: int) -> nn.Module:
        """Any tensor -> the nearest integers in ``qmin..qmax``, of equals the even one, as float32;
        its values are at least 0 where ``qmin`` is. Gradients pass within, not outside.

        The grids are -128..127 and 0..255.
        """

    def weight(self, axis: int) -> nn.Module:
        """Weights -> the same on -127..127 times a scale for each index of ``axis``, which holds
        the largest magnitude there. Gradients pass."""


#: Name -> module, and the extra that installs what it imports.
_MODULES = {
    "torch": ("edgereid.train.qat.torch_backend", "train"),
    "pytorch-quantization": ("edgereid.train.qat.pytorch_quantization_backend", "pq"),
    "modelopt": ("edgereid.train.qat.modelopt_backend", "modelopt"),
}


def open_backend(name: str) -> Backend:
    """The backend of ``edgereid.train.qat.options.BACKENDS``. Raises MissingRuntimeError when its
    package, or one that this needs, is not installed."""
    module, extra = _MODULES[name]
    try:
        with contextlib.redirect_stdout(sys.stderr):  # both packages greet on standard output
            backend: Backend = importlib.import_module(module).make()
    except ImportError as error:
        raise MissingRuntimeError(
            f"--backend {name} needs the package {error.name or error}, which cannot be imported: "
            f'pip install "edgereid[{extra}]".'
        ) from error
    return backend
