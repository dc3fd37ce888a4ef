"""The operator set and the IR version: old files are upgraded, by ONNX's own converter."""

from __future__ import annotations

from typing import Any

from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError
from edgereid.export.graph import Graph

OLDEST, NEEDED = 11, 17  # 17: as our own files, the newest that TensorRT 8.6 reads


def upgrade(model: Any, what: str) -> Any:
    """The model at operator set ``NEEDED`` or above; a newer one stays as it is.

    Raises InputError when an operator cannot be converted.
    """
    from onnx import version_converter

    version = Graph(model).opset
    if version < NEEDED:
        set_ir_version(model)
        with runtime_errors(
            f"{what} cannot be upgraded from operator set {version} to {NEEDED} "
            f"(export it again with opset_version={NEEDED})"
        ):
            model = version_converter.convert_version(model, NEEDED)
    del model.opset_import[1:]  # other domains are not in use: their operators were refused
    set_ir_version(model)
    return model


def require_opset(model: Any, what: str) -> None:
    """Raise InputError for an operator set older than ``OLDEST``."""
    version = Graph(model).opset
    if version < OLDEST:
        raise InputError(
            f"{what} has operator set {version}: {OLDEST} and above are taken; export it again "
            f"with opset_version={NEEDED}."
        )


def set_ir_version(model: Any) -> None:
    """The least IR version that the operator set allows, which older runtimes read as well."""
    from onnx import helper

    opsets = [helper.make_opsetid("", max(Graph(model).opset, NEEDED))]
    model.ir_version = helper.find_min_ir_version_for(opsets, ignore_unknown=True)
