"""Rounding by NVIDIA's modelopt, the successor of pytorch-quantization."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgereid.train.qat.backend import Backend


class _Modelopt:
    def __init__(self, quantizer: Any, config: Any) -> None:
        self._quantizer, self._config = quantizer, config

    def activation(self, qmin: int, qmax: int) -> nn.Module:
        config = self._config(
            num_bits=8,
            axis=None,
            unsigned=qmin == 0,
            narrow_range=False,
            pass_through_bwd=False,  # else what saturates has a gradient, and the step a wrong one
        )
        module: nn.Module = self._quantizer(config)
        # a largest magnitude of qmax makes the step of its grid one
        module.amax = torch.tensor(float(qmax))
        return module

    def weight(self, axis: int) -> nn.Module:
        # no largest magnitude given: that of each channel, as the weights are at this step
        module: nn.Module = self._quantizer(self._config(num_bits=8, axis=axis, narrow_range=True))
        return module


def make() -> Backend:
    """The backend. Raises ImportError without the package."""
    from modelopt.torch.quantization.config import QuantizerAttributeConfig
    from modelopt.torch.quantization.nn import TensorQuantizer

    return _Modelopt(TensorQuantizer, QuantizerAttributeConfig)
