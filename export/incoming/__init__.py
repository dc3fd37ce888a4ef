"""Networks that somebody else exported: from their ONNX file to one like our own."""
