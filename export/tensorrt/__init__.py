"""An ONNX file becomes a TensorRT plan, on the device that will run it. Needs no torch."""
