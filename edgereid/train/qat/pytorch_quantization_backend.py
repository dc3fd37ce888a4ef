"""Rounding by NVIDIA's pytorch-quantization.

Its quantisers are used as they come; their state is never loaded and nothing is calibrated by them,
as both call for a GPU (``TensorQuantizer._load_from_state_dict``, the "mse" calibrator).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from edgereid.train.qat.backend import Backend


class _PytorchQuantization:
    def __init__(self, quantizer: Any, descriptor: Any) -> None:
        self._quantizer, self._descriptor = quantizer, descriptor

    def activation(self, qmin: int, qmax: int) -> nn.Module:
        # a largest magnitude of qmax makes the step of its grid one
        module: nn.Module = self._quantizer(
            self._descriptor(num_bits=8, amax=float(qmax), unsigned=qmin == 0, narrow_range=False)
        )
        return module

    def weight(self, axis: int) -> nn.Module:
        # no largest magnitude given: that of each channel, as the weights are at this step
        module: nn.Module = self._quantizer(
            self._descriptor(num_bits=8, axis=(axis,), narrow_range=True)
        )
        return module


def make() -> Backend:
    """The backend; its log says no more than errors. Raises ImportError without the package."""
    from absl import logging
    from pytorch_quantization.nn import TensorQuantizer
    from pytorch_quantization.tensor_quant import QuantDescriptor

    logging.set_verbosity(logging.ERROR)
    return _PytorchQuantization(TensorQuantizer, QuantDescriptor)
