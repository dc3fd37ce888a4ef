"""Is every name that the code takes from TensorRT in every release where that code can run?

An abstract interpreter, run once a release: it follows values (which class of TensorRT is this?)
through assignments, attributes, calls and returns, evaluates the code's own feature tests
(``hasattr(trt.BuilderFlag, "FP16")``, ``getattr(trt, "X", None)``) for that release, leaves out the
branches that cannot be taken there, and looks up whatever is left in the release's API.
"""

from __future__ import annotations

from trt_contract.check import Finding, analyse, findings, names_used
from trt_contract.program import Program
from trt_contract.run import Run, distinctive_names

__all__ = [
    "Finding",
    "Program",
    "Run",
    "analyse",
    "distinctive_names",
    "findings",
    "names_used",
]
