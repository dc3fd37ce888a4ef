"""Fakes of TensorRT and of the CUDA runtime's Python bindings, for tests without a GPU.

What they show: names, keyword arguments, the order of calls, shapes, addresses, waiting, freeing,
and what happens on every error path. What they do not show: whether a real parser takes a file,
which kernels a builder picks, precision, accuracy, speed, memory of a real device. The numbers an
execution gives are ONNX Runtime's on the FP32 (or typed) ONNX file. See ../README.md.
"""

from __future__ import annotations

from trt_fakes.api import RELEASES
from trt_fakes.install import Fake, installed
from trt_fakes.options import DEVICES, Device, Failures

__all__ = ["DEVICES", "RELEASES", "Device", "Failures", "Fake", "installed"]
