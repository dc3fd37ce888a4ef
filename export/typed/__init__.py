"""Typed FP16: an ONNX file whose types say what a strongly typed builder computes in."""
