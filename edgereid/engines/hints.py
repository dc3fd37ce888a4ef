"""What an engine file says about how it wants to be run."""

from __future__ import annotations

#: Key of an ONNX file's metadata, which OpenVINO carries into its own format: what float arithmetic
#: runs in ("bf16", "f16") where who opens the file does not choose.
FLOAT_PRECISION = "edgereid_float_precision"
