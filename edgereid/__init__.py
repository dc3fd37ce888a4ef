"""edgereid: person re-identification networks from PyTorch to the edge, with proof that they still
recognise people when they get there."""

__version__ = "0.1.0"
