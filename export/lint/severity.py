"""Severities by target, and the sources that several rules share."""

from __future__ import annotations

TENSORRT = "tensorrt"
ONNXRUNTIME = ("onnxruntime", "onnxruntime-arm")
ALL = (TENSORRT, "openvino", *ONNXRUNTIME)

LAYER = "TensorRT's IQuantizeLayer"
GUIDE = "TensorRT developer guide, Q/DQ layer placement recommendations"
STANDARD = "ONNX standard, QuantizeLinear"
FP16 = "IEEE 754 binary16"


def everywhere(severity: str) -> dict[str, str]:
    return dict.fromkeys(ALL, severity)


def tensorrt(severity: str, others: str | None = None) -> dict[str, str]:
    """TensorRT's severity, and that of the other targets if the rule is theirs, too."""
    return {**(everywhere(others) if others else {}), TENSORRT: severity}


def onnxruntime(severity: str) -> dict[str, str]:
    return dict.fromkeys(ONNXRUNTIME, severity)
