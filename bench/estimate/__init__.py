"""What a network would take on a device that is not here: a roofline over its fused layers."""
