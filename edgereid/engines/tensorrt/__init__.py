"""TensorRT plans on an NVIDIA GPU; nothing is imported before a plan is opened."""
