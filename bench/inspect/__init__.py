"""What a built TensorRT engine really is: the precision and the time of each of its layers."""
